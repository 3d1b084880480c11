"""Rows of the machine's own are known to the endpoint first-hand."""

from __future__ import annotations

from tiercast_protocol.content.jobs.kind import ENDPOINT
from tiercast_protocol.content.jobs.waiting import KINDS
from tiercast_protocol.content.jobs.waiting_machine import MACHINE


def test_all_of_them_are_in_the_catalogue_and_said_by_the_machine() -> None:
    assert MACHINE.keys() <= KINDS.keys()
    assert all(ENDPOINT in kind.tiers for kind in MACHINE.values())
