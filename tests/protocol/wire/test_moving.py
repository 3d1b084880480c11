"""Messages of nodes that move; shapes and golden bytes of every kind stand in test_messages.py."""

from __future__ import annotations

from tiercast_protocol.wire import moving
from tiercast_protocol.wire.messages import CATALOGUE, EPHEMERAL, KIND_OF


def test_what_must_not_be_lost_is_kept_and_what_is_asked_again_is_not() -> None:
    lasting = {KIND_OF[one] for one in (moving.ParentsTold, moving.Placed, moving.Left)}
    assert lasting.isdisjoint(EPHEMERAL)
    assert {KIND_OF[moving.GuestAsked], KIND_OF[moving.GuestAnswered]} <= EPHEMERAL


def test_every_message_here_has_a_kind() -> None:
    here = {one for one in vars(moving).values() if isinstance(one, type) and one.__module__ == moving.__name__}
    assert here - set(CATALOGUE.values()) == {moving.Below}
