"""Messages about power; shapes and golden bytes of every kind stand in test_messages.py."""

from __future__ import annotations

from tiercast_protocol.wire import power
from tiercast_protocol.wire.messages import EPHEMERAL, KIND_OF


def test_a_machine_hears_of_it_even_when_it_restarts_meanwhile() -> None:
    assert KIND_OF[power.Woken] not in EPHEMERAL
