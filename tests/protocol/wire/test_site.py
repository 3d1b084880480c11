"""Messages about what gateways decide; shapes and golden bytes of every kind stand in test_messages.py."""

from __future__ import annotations

from tiercast_protocol.wire.site import HeldRollout, of_row, row_of


def test_what_is_held_is_kept_as_a_row_and_read_back() -> None:
    one = HeldRollout(rollout="r1-ab12", site="berlin", since=5, have="1 of 2", limit="1")
    assert of_row(row_of(one)) == one
