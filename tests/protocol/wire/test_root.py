"""What all bodies have in common."""

from __future__ import annotations

from tiercast_protocol.wire import codec
from tiercast_protocol.wire.messages import CATALOGUE
from tiercast_protocol.wire.root import Message


class Old(Message, frozen=True, kw_only=True, omit_defaults=True):
    """A kind as an older node knows it."""

    name: str


class New(Message, frozen=True, kw_only=True, omit_defaults=True):
    """The same kind with a field more."""

    name: str
    size: int = 0


def test_every_kind_is_one() -> None:
    assert all(issubclass(one, Message) for one in CATALOGUE.values())


def test_unknown_fields_are_ignored_missing_ones_defaulted_and_defaults_not_sent() -> None:
    assert codec.decode(codec.encode(New(name="x", size=3)), Old) == Old(name="x")
    assert codec.decode(codec.encode(Old(name="x")), New) == New(name="x")
    assert codec.encode(New(name="x")) == codec.encode(Old(name="x"))
