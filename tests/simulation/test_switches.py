"""Each safeguard carries weight: with any one of them off, some story fails that is told well with all of them on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.simulation.nodes import Broken
from tests.simulation.region import Parts, story
from tests.simulation.world import Faults

from tiercast_protocol.transfer import sender
from tiercast_protocol.transfer.books import Came, SentBooks
from tiercast_protocol.transfer.credit import Flow
from tiercast_protocol.transfer.events import (
    FrameReceived,
    MarkReceived,
    PublishFrame,
    ReceiverCommand,
    SenderCommand,
    TimerFired,
)
from tiercast_protocol.transfer.lanes import Lane
from tiercast_protocol.transfer.receiver import Receiver

#: These are among the seeds of test_region, where nothing is off.
SEEDS = range(12)


class Unrepaired(Receiver):
    """Never says what is missing of what it asked for."""

    def _marked(self, event: MarkReceived, now: float, out: list[ReceiverCommand]) -> None:
        if event.session == self.session:
            self._grant.settle(event.charged, exact=event.mark > self._mark)
            self._mark = max(self._mark, event.mark)
            self._say((), (), now, out)

    def _timer(self, event: TimerFired, now: float, out: list[ReceiverCommand]) -> None:
        self._armed = None
        self._heard_at = now


class Boundless(Flow):
    """Always has credit."""

    def room(self, frame: int) -> int:
        return frame


class Credulous(Receiver):
    """Takes every piece as wanted and new."""

    def _frame(self, event: FrameReceived, now: float, out: list[ReceiverCommand]) -> None:
        for piece in event.pieces:
            self._whole.pop(piece.digest, None)
            if piece.digest not in self._asked:
                self._wants.ask(piece.digest, "")
        super()._frame(event, now, out)


def no_repair(_patch: pytest.MonkeyPatch) -> Parts:
    return Parts(receiver=Unrepaired)


def no_credit(patch: pytest.MonkeyPatch) -> Parts:
    patch.setattr(sender, "Flow", Boundless)
    return Parts()


def no_deduplication_at_the_child(_patch: pytest.MonkeyPatch) -> Parts:
    return Parts(receiver=Credulous)


def no_deduplication_at_the_parent(patch: pytest.MonkeyPatch) -> Parts:
    patch.setattr(Lane, "under_way", lambda _lane, _digest, _received: False)
    return Parts()


def no_verification(_patch: pytest.MonkeyPatch) -> Parts:
    return Parts(verify=False)


def no_book_of_what_is_shared(patch: pytest.MonkeyPatch) -> Parts:
    note = SentBooks.note

    def forgetful(books: SentBooks, commands: list[SenderCommand], *args: Any, **kwargs: Any) -> None:
        alone = [c for c in commands if not isinstance(c, PublishFrame) or c.group is None]
        note(books, alone, *args, **kwargs)

    patch.setattr(SentBooks, "note", forgetful)
    return Parts()


def no_book_of_what_comes_twice(patch: pytest.MonkeyPatch) -> Parts:
    patch.setattr(Came, "arrived", property(lambda came: came.useful + came.unasked + came.refused))
    return Parts()


class Unremembering(Receiver):
    """Keeps no count of what marks say was lost."""

    def _marked(self, event: MarkReceived, now: float, out: list[ReceiverCommand]) -> None:
        super()._marked(event, now, out)
        self.counters.lost = 0


def no_book_of_what_is_lost(_patch: pytest.MonkeyPatch) -> Parts:
    return Parts(receiver=Unremembering)


@pytest.mark.parametrize(
    ("switch", "says"),
    [
        (no_repair, "lacks|rest"),
        (no_credit, "more under way than the window"),
        (no_deduplication_at_the_child, "kept"),
        (no_deduplication_at_the_parent, "sent again while under way|bytes to"),
        (no_verification, "damaged"),
        (no_book_of_what_is_shared, "left over"),
        (no_book_of_what_comes_twice, "left over"),
        (no_book_of_what_is_lost, "left over"),
    ],
)
def test_without_it_some_story_fails(
    switch: Callable[[pytest.MonkeyPatch], Parts], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = switch(monkeypatch)
    with pytest.raises(Broken, match=says):
        # A damaged entry list may keep the region from coming to rest before anybody looks at what it holds.
        _tell_all(parts, pass_over="come to rest" if switch is no_verification else None)


def _tell_all(parts: Parts, *, pass_over: str | None = None) -> None:
    for seed in SEEDS:
        try:
            story(seed, Faults(), parts=parts)
        except Broken as error:
            if pass_over is None or pass_over not in str(error):
                raise
