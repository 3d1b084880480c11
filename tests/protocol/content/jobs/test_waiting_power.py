"""What is waited for while a machine sleeps: in the one catalogue, and in words."""

from __future__ import annotations

from tiercast_protocol.content.jobs.reason import because, words
from tiercast_protocol.content.jobs.waiting import KINDS
from tiercast_protocol.content.jobs.waiting_power import POWER


def test_they_stand_in_the_catalogue_and_cut_a_machine_off() -> None:
    assert POWER.keys() <= KINDS.keys()
    assert all(kind.cuts for kind in POWER.values())


def test_how_often_and_since_when() -> None:
    one = because("wake.failed", node="berlin", peer="pc-1", tries=3, began=1_700_000_000_000, rounds=2)
    assert words(one).startswith("pc-1 did not wake: 3 packets since 2023-11-14")
    assert "2 times in all" in words(one)
    assert words(because("wake.failed", peer="pc-1", why="no address")) == "pc-1 did not wake: no address"
