"""The sums of a child: every byte that came stands in one of them."""

from __future__ import annotations

from tiercast_protocol.transfer import events as e
from tiercast_protocol.transfer.receiver import Receiver
from tiercast_protocol.wire.messages import Piece

A, B = b"a" * 32, b"b" * 32


def test_every_byte_stands_in_one_sum() -> None:
    receiver = Receiver(1, 1000, memory=100)
    receiver.handle(e.ParentConnected(), now=0.0)
    receiver.handle(e.ChunksWanted((A, B)), now=0.0)
    pieces = (
        Piece(A, 90, 0, 10),
        Piece(A, 90, 0, 10),
        Piece(B, 80, 0, 7),
        Piece(b"c" * 32, 5, 0, 5),
    )
    receiver.handle(e.FrameReceived(pieces), now=0.1)
    counters = receiver.counters
    assert (counters.useful, counters.repeated, counters.refused, counters.unasked) == (10, 10, 7, 5)
    assert counters.useful + counters.repeated + counters.refused + counters.unasked == receiver.received
