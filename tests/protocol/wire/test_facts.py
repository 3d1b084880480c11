"""Messages about machines; shapes and golden bytes of every kind stand in test_messages.py."""

from __future__ import annotations

from tiercast_protocol.wire import facts
from tiercast_protocol.wire.messages import CATALOGUE, EPHEMERAL, KIND_OF


def test_nothing_of_it_may_be_lost() -> None:
    assert {KIND_OF[facts.Inventories], KIND_OF[facts.GroupsTold]}.isdisjoint(EPHEMERAL)


def test_every_message_here_has_a_kind() -> None:
    here = {one for one in vars(facts).values() if isinstance(one, type) and one.__module__ == facts.__name__}
    assert here - set(CATALOGUE.values()) == {facts.InventoryEntry, facts.SoftwareList}
