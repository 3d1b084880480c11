"""The words of the two machines: frozen, slotted, and each event understood."""

from __future__ import annotations

import dataclasses
from typing import get_args

import pytest

from tiercast_protocol.transfer import events
from tiercast_protocol.transfer.receiver import Receiver
from tiercast_protocol.transfer.sender import Sender

WORDS = {
    word
    for union in (events.SenderEvent, events.SenderCommand, events.ReceiverEvent, events.ReceiverCommand)
    for word in get_args(union)
}


@pytest.mark.parametrize("word", sorted(WORDS, key=lambda word: word.__name__))
def test_words_are_values(word: type) -> None:
    assert dataclasses.is_dataclass(word)
    assert word.__dataclass_params__.frozen  # type: ignore[attr-defined]
    assert hasattr(word, "__slots__")
    assert word.__doc__


def test_every_event_has_its_handler() -> None:
    assert set(get_args(events.SenderEvent)) == set(Sender()._handlers)
    assert set(get_args(events.ReceiverEvent)) == set(Receiver(1, 1)._handlers)
