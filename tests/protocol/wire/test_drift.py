"""Messages about the desired state; shapes and golden bytes of every kind stand in test_messages.py."""

from __future__ import annotations

from tiercast_protocol.wire import codec
from tiercast_protocol.wire.drift import Assigned, DriftTold


def test_what_says_nothing_more_is_small() -> None:
    assert len(codec.encode(Assigned(name="a", seq=1, requires=""))) < 24
    told = DriftTold(node="g", name="a", of=1, at=2)
    assert codec.decode(codec.encode(told), DriftTold) == told
