"""What holds a transfer back: rates, pauses, budgets (docs/protocol-transfer.md, section 6.7).

Rules
- Each gate answers three questions: when may the next frame go, how many payload bytes may it carry at most, why not
  now.  What left is told to every gate that it passed.
- A gate never looks at a clock; a time that steps back opens nothing.
- A pause is silence: a segment begins anew after a silence of at least its pause, whatever made it.  So children that
  share frames fall into step, and nobody waits twice.
- A change of terms keeps what was counted: neither a segment nor a budget begins anew with it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from tiercast_protocol.transfer.pacing import TokenBucket
from tiercast_protocol.transfer.policy import Pace

NEVER = float("inf")
#: More than any frame carries.
UNBOUNDED = 1 << 62
#: Times closer than this are one.
_ROUNDING = 1e-9

RATE = "rate"
SHUT = "window shut (rate 0)"
SEGMENT_PAUSE = "segment pause"
INTERVAL_PAUSE = "interval pause"
SPENT = "budget spent"


class Gate(Protocol):
    """One reason to wait."""

    def ready_at(self, now: float) -> float:
        """When the next frame may go; not later than `now` is at once, infinity not before the terms change."""
        ...

    def most(self, now: float) -> int:
        """Payload bytes that may go at `now`, if any may."""
        ...

    def take(self, length: int, cost: int, now: float) -> None:
        """A frame of `length` payload bytes left, `cost` with its headers."""
        ...

    def why(self) -> str:
        """What it is called when it holds something back."""
        ...


class Rate:
    """Bytes per second with headers; 0 is shut."""

    __slots__ = ("_shut", "bucket")

    def __init__(self, rate: float) -> None:
        self._shut = rate == 0
        self.bucket = TokenBucket(rate or None)

    def set(self, rate: float, now: float) -> None:
        """From now on so many."""
        self._shut = rate == 0
        self.bucket.set_rate(rate or None, now)

    def ready_at(self, now: float) -> float:
        """See `Gate`."""
        return NEVER if self._shut else self.bucket.ready_at(now)

    def most(self, now: float) -> int:  # noqa: ARG002 - a bucket runs into debt
        """See `Gate`."""
        return UNBOUNDED

    def take(self, length: int, cost: int, now: float) -> None:  # noqa: ARG002
        """See `Gate`."""
        self.bucket.take(cost, now)

    def why(self) -> str:
        """See `Gate`."""
        return SHUT if self._shut else RATE


class Split:
    """Split distribution: `segment` bytes, then `pause` seconds of silence."""

    __slots__ = ("_last", "done", "pause", "segment", "sent")

    def __init__(self, segment: int, pause: float) -> None:
        self.segment, self.pause = segment, pause
        #: Bytes of the present segment, and segments that are over.
        self.sent = self.done = 0
        self._last = -NEVER

    def set(self, segment: int, pause: float) -> None:
        """From now on so many bytes and so long a pause."""
        self.segment, self.pause = segment, pause

    def ready_at(self, now: float) -> float:
        """See `Gate`."""
        return self._last + self.pause if self.sent >= self.segment else now

    def most(self, now: float) -> int:
        """See `Gate`."""
        return self.segment if self._rested(now) else self.segment - self.sent

    def take(self, length: int, cost: int, now: float) -> None:  # noqa: ARG002 - content is what is split
        """See `Gate`."""
        if self._rested(now):
            self.done += self.sent > 0
            self.sent = 0
        self.sent += length
        self._last = max(self._last, now)

    def why(self) -> str:
        """See `Gate`."""
        return SEGMENT_PAUSE

    def _rested(self, now: float) -> bool:
        return now >= self._last + self.pause - _ROUNDING


class Interval:
    """Interval transfer: `frames` frames, then `pause` seconds of silence."""

    __slots__ = ("_last", "_sent", "frames", "pause")

    def __init__(self, frames: int, pause: float) -> None:
        self.frames, self.pause = frames, pause
        self._sent = 0
        self._last = -NEVER

    def set(self, frames: int, pause: float) -> None:
        """From now on so many frames and so long a pause."""
        self.frames, self.pause = frames, pause

    def ready_at(self, now: float) -> float:
        """See `Gate`."""
        return self._last + self.pause if self._sent >= self.frames else now

    def most(self, now: float) -> int:  # noqa: ARG002 - frames are counted
        """See `Gate`."""
        return UNBOUNDED

    def take(self, length: int, cost: int, now: float) -> None:  # noqa: ARG002
        """See `Gate`."""
        if now >= self._last + self.pause - _ROUNDING:
            self._sent = 0
        self._sent += 1
        self._last = max(self._last, now)

    def why(self) -> str:
        """See `Gate`."""
        return INTERVAL_PAUSE


class Budget:
    """So many payload bytes, and nothing after."""

    __slots__ = ("limit", "spent")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.spent = 0

    def ready_at(self, now: float) -> float:
        """See `Gate`."""
        return NEVER if self.spent >= self.limit else now

    def most(self, now: float) -> int:  # noqa: ARG002 - whenever
        """See `Gate`."""
        return self.limit - self.spent

    def take(self, length: int, cost: int, now: float) -> None:  # noqa: ARG002 - content is what is bought
        """See `Gate`."""
        self.spent += length

    def why(self) -> str:
        """See `Gate`."""
        return SPENT


class Gates:
    """The gates of one pace, and its floor."""

    __slots__ = ("_budget", "_interval", "_rate", "all", "floor", "pace", "split")

    def __init__(self) -> None:
        self.pace = Pace()
        #: What the pace asks for; empty when it asks for nothing.
        self.all: tuple[Gate, ...] = ()
        #: Ready while the floor is not used up; None without one.
        self.floor: TokenBucket | None = None
        self.split: Split | None = None
        self._rate: Rate | None = None
        self._interval: Interval | None = None
        self._budget: Budget | None = None

    def set(self, pace: Pace, now: float) -> None:
        """These are the terms from now on."""
        if pace == self.pace:
            return
        self.pace = pace
        self._set_rates(pace, now)
        self._set_pauses(pace)
        if pace.budget is None:
            self._budget = None
        elif self._budget is None:
            self._budget = Budget(pace.budget)
        else:
            self._budget.limit = pace.budget
        found: list[Gate | None] = [self._rate, self.split, self._interval, self._budget]
        self.all = tuple(gate for gate in found if gate is not None)

    def _set_rates(self, pace: Pace, now: float) -> None:
        if pace.rate is None:
            self._rate = None
        elif self._rate is None:
            self._rate = Rate(pace.rate)
        else:
            self._rate.set(pace.rate, now)
        if not pace.floor:
            self.floor = None
        elif self.floor is None:
            self.floor = TokenBucket(pace.floor)
        else:
            self.floor.set_rate(pace.floor, now)

    def _set_pauses(self, pace: Pace) -> None:
        if pace.segment is None:
            self.split = None
        elif self.split is None:
            self.split = Split(pace.segment, pace.pause)
        else:
            self.split.set(pace.segment, pace.pause)
        if pace.frames is None:
            self._interval = None
        elif self._interval is None:
            self._interval = Interval(pace.frames, pace.frame_pause)
        else:
            self._interval.set(pace.frames, pace.frame_pause)

    @property
    def segment_bytes(self) -> int:
        """Bytes of the segment that is being sent, or after which the pause is."""
        return self.split.sent if self.split is not None else 0

    @property
    def segments(self) -> int:
        """Segments that are over."""
        if self.split is None:
            return 0
        return self.split.done + (self.split.sent >= self.split.segment)


def ready_at(gates: Iterable[Gate], now: float) -> float:
    """When all of them let a frame go; `now` is at once."""
    latest = now
    for gate in gates:
        at = gate.ready_at(now)
        latest = max(latest, at)
    return latest


def most(gates: Iterable[Gate], now: float, room: int) -> int:
    """How much of `room` all of them let go at once."""
    for gate in gates:
        room = min(room, gate.most(now))
    return room


def why(gates: Iterable[Gate], now: float) -> tuple[str, float]:
    """The gate that holds back longest, and until when; ("", now) if none does."""
    reason, latest = "", now
    for gate in gates:
        at = gate.ready_at(now)
        if at > latest:
            reason, latest = gate.why(), at
    return reason, latest
