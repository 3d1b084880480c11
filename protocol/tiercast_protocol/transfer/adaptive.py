"""Adaptive mode: a lane that yields when the link's delay grows (docs/protocol-transfer.md, section 6.9).

Rules
- The least round trip of the last minutes is the link's own; what is above it stands in somebody's queue, ours or
  another's.  Up to `TARGET` of that the lane goes faster, above it slower.
- The least trip of each `STEP` counts: reports come late, never early.
- Never below the floor, and at will again once nothing was in the way for a while.
- Whatever changes much is said, with its reason.
"""

from __future__ import annotations

from tiercast_protocol.transfer.credit import Flow
from tiercast_protocol.transfer.pacing import TokenBucket

#: Seconds of queueing that the lane aims at.
TARGET = 0.075
#: Shortest time between two changes.
STEP = 0.25
#: Rate below which nobody is made to go who set no floor.
LEAST_FLOOR = 16 * 1024.0
#: Change of the rate per step: up by at most, down by at most.
_UP, _DOWN = 0.25, 0.5
#: A lane that could send so many times what it does is held by nothing here.
_FREE = 4.0
#: The least trip is that of the present and the last period of so many seconds.
_PERIOD = 120.0
#: A change by so much is worth a word.
_TOLD = 1.5

YIELDS = "yields to others (adaptive)"


class Adaptive:
    """The rate of one link, from its round trips; a gate of that link."""

    __slots__ = (
        "_base",
        "_bucket",
        "_last_base",
        "_least",
        "_next",
        "_period_at",
        "_told",
        "floor",
        "queueing",
        "rate",
    )

    def __init__(self) -> None:
        #: Bytes per second not to go below; None is `LEAST_FLOOR`.
        self.floor: float | None = None
        #: Bytes per second that it lets go; None is at will.
        self.rate: float | None = None
        #: Seconds that the last round trip stood in a queue.
        self.queueing = 0.0
        self._bucket = TokenBucket()
        self._base = self._last_base = float("inf")
        self._least = float("inf")
        self._next = float("-inf")
        self._period_at = float("-inf")
        self._told: float | None = None

    def heard(self, flow: Flow, now: float) -> str | None:
        """A report was settled; why the rate is another now, if it is worth a word."""
        trip = flow.trip
        if trip is None or flow.rate is None:
            return None
        if now - self._period_at >= _PERIOD:
            self._period_at, self._last_base, self._base = now, self._base, float("inf")
        self._base = min(self._base, trip)
        self._least = min(self._least, trip)
        if now < self._next:
            return None
        base = min(self._base, self._last_base)
        queueing, self._least = self._least - base, float("inf")
        self.queueing = queueing
        self._next = now + max(STEP, 2 * base)
        self._set(self._wish(flow, queueing), now)
        return self._word(queueing, base)

    def _wish(self, flow: Flow, queueing: float) -> float | None:
        off = max(-1.0, min(1.0, 1 - queueing / TARGET))
        measured = flow.rate or 0.0
        if self.rate is None:
            if off >= 0:
                return None
            rate = measured * (1 + _DOWN * off)
        else:
            rate = self.rate * (1 + (_UP if off > 0 else _DOWN) * off)
            if off > 0 and rate > _FREE * measured:
                return None
        return max(rate, self.floor or LEAST_FLOOR)

    def _set(self, rate: float | None, now: float) -> None:
        if rate != self.rate:
            self.rate = rate
            self._bucket.set_rate(rate, now)

    def _word(self, queueing: float, base: float) -> str | None:
        old, new = self._told, self.rate
        if old is None and new is None:
            return None
        if old is not None and new is not None and old / _TOLD < new < old * _TOLD:
            return None
        self._told = new
        if new is None:
            return "the delay is gone"
        slower = old is None or new < old
        return f"round trip {1000 * (base + queueing):.0f} ms, {1000 * queueing:.0f} ms of it queueing: " + (
            "others need the link" if slower else "there is room again"
        )

    # -- as a gate --------------------------------------------------------------------------------

    def ready_at(self, now: float) -> float:
        """See `Gate`."""
        return self._bucket.ready_at(now)

    def most(self, now: float) -> int:  # noqa: ARG002 - a bucket runs into debt
        """See `Gate`."""
        return 1 << 62

    def take(self, length: int, cost: int, now: float) -> None:  # noqa: ARG002
        """See `Gate`."""
        self._bucket.take(cost, now)

    def why(self) -> str:
        """See `Gate`."""
        return YIELDS
