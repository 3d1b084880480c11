"""Bytes under way: the sender's account of one child, and the receiver's grant (docs/protocol.md, section 6).

Rules
- Both sides count payload bytes since the child's session began: the sender what it charged, the child what it
  received.  The difference is under way; it never passes the window that the child granted.
- Within the window, what is under way follows rate x round trip (`LEAST_FRAMES` at the least), so that the
  broker's queue stays short and it never drops: brokers drop silently.  It is twice that while the rate still grows.
- Counts drift: drops leave the child's behind, copies too many (a group's frame to one who just left, frames of a
  parent that restarted) take it ahead.  A mark comes after all that was charged before it, so the first answer to
  a mark is exact, up or down.  Between marks a count only rises, and lifts the charge if it passes it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

#: Most frames under way: below the smallest queue that a broker is known to cut (1000), with room for control.
MOST_FRAMES = 400
#: Frames that may always be under way, whatever the estimate says.
LEAST_FRAMES = 2
#: Seconds of the rate under way beyond the round trip: what a busy child takes to report.  A child on a thin link
#: reports more rarely (receiver.py), so there it is more; on a far one what is under way at a cut is lost, so less.
MARGIN = 0.1
THIN_MARGIN = 0.35
FAR_MARGIN = 0.06
_THIN = 1_000_000
_FAR = 0.02
#: A rate that grew by less than this in so many round trips is the link's.
_GROWTH = 1.2
_ROUNDS = 3
#: Bytes under way before the first estimate.
FIRST_FLIGHT = 512 * 1024
#: A child with less than one such part of what may be under way waits for more.
_DRY = 4
#: Counts and marks stay below these: they stand in fields of fixed width, and are a peer's.
LARGEST_COUNT = 1 << 62
LARGEST_MARK = 1 << 31
#: Shortest time over which a rate is measured, in seconds.
_SAMPLE = 0.05
#: The least round trip is measured anew after so many seconds, for paths change: with less under way for two of it.
_LEAST_LIFE = 20.0
#: What a link was found to be is believed for so many seconds after it was cut.
_BELIEVED = 60.0
#: How fast the longest trip of late is forgotten, per trip.
_FORGET = 0.98


@dataclass(frozen=True, slots=True)
class Known:
    """What an earlier session found out about a link, and when."""

    rate: float
    least_rtt: float
    at: float


class Flow:
    """The sender's account of one child in one session."""

    __slots__ = (
        "_drain_until",
        "_frames",
        "_growing",
        "_least_at",
        "_round_at",
        "_round_rate",
        "_sample_at",
        "_sample_from",
        "charged",
        "least_rtt",
        "longest",
        "progress_at",
        "rate",
        "received",
        "rtt",
        "sent_at",
        "trip",
        "waiting_since",
        "window",
    )

    def __init__(self, received: int, window: int, now: float, known: Known | None = None) -> None:
        self.charged = received
        self.received = received
        self.window = window
        #: Smoothed and least time from charge to report, in seconds; None before the first.
        self.rtt: float | None = None
        self.least_rtt: float | None = None
        #: The last one.
        self.trip: float | None = None
        #: The longest of late: how irregularly such a child is heard though nothing is wrong.
        self.longest = 0.0
        #: Bytes per second that arrive, as measured; None before the first.
        self.rate: float | None = None
        self.progress_at = now
        self.sent_at = now
        self.waiting_since = now
        self._frames: deque[tuple[int, float]] = deque()
        self._least_at = now
        self._sample_at = now
        self._sample_from = received
        #: Rounds in which the rate may still turn out to be higher: until then twice as much is under way.
        self._growing = _ROUNDS
        self._round_at = now
        self._round_rate = 0.0
        self._drain_until = now
        if known is not None and now - known.at <= _BELIEVED:
            self.rate, self.least_rtt = known.rate, known.least_rtt
            self._growing = 0

    @property
    def oldest(self) -> float:
        """When the oldest frame was charged that the child has not reported; infinity if there is none."""
        return self._frames[0][1] if self._frames else float("inf")

    def known(self, now: float) -> Known | None:
        """What was found out about the link, for the next session."""
        if self.rate is None or self.least_rtt is None:
            return None
        return Known(self.rate, self.least_rtt, now)

    @property
    def in_flight(self) -> int:
        """Bytes charged that the child has not yet reported."""
        return self.charged - self.received

    def limit(self, frame: int) -> int:
        """Most bytes that may be under way now, for frames of `frame` bytes."""
        if self.rate is None or self.least_rtt is None:
            wish = FIRST_FLIGHT
        else:
            trip = self.least_rtt
            margin = THIN_MARGIN if self.rate < _THIN else FAR_MARGIN if trip >= _FAR else MARGIN
            if self._growing:
                trip, margin = 2 * trip, MARGIN if margin == FAR_MARGIN else margin
            elif self._drain_until > self.progress_at:
                trip, margin = trip / 2, 0.0
            elif self.trip is not None and self.trip < trip + margin / 2:
                # Nothing stands in a queue: the link is not full, whatever the last rate was.
                margin *= 1.5
            wish = int(self.rate * (trip + margin))
        return min(self.window, max(wish, LEAST_FRAMES * frame))

    def dry(self, frame: int) -> bool:
        """Whether so little is under way that the child waits for more, or soon will."""
        return _DRY * self.in_flight <= self.limit(frame)

    def room(self, frame: int) -> int:
        """Bytes that may be charged now; 0 when it is not worth a frame yet."""
        if len(self._frames) >= MOST_FRAMES:
            return 0
        limit = self.limit(frame)
        room = limit - self.in_flight
        # No slivers: half a frame, unless nothing is under way that could make room.
        if room <= 0 or (self.in_flight and 2 * room < min(frame, limit)):
            return 0
        return room

    def charge(self, length: int, now: float) -> int:
        """Count a frame; returns the position after it."""
        if not self.in_flight:
            self.waiting_since = now
            # The time in which nothing was under way says nothing about the link.
            self._sample_at += max(0.0, now - max(self.progress_at, self._sample_at))
        self.charged += length
        self.sent_at = now
        self._frames.append((self.charged, now))
        return self.charged

    def settle(self, received: int, now: float, *, exact: bool = False, measure: bool = True) -> bool:
        """Take the child's count; whether there is progress.

        `exact`: the first answer to the newest mark, which may also lower the count.  What a mark settled may have
        been lost, so it is not to `measure` the link by.
        """
        if received <= self.received and not exact:
            return False
        risen = received > self.received
        self.received = received
        self.charged = max(self.charged, received)
        self.progress_at = now
        born = None
        frames = self._frames
        while frames and frames[0][0] <= received:
            born = frames.popleft()[1]
        if not measure:
            self._sample_at = now
            self._sample_from = received
            return risen or exact
        if born is not None:
            self._measure_trip(max(now - born, 1e-6), now)
        self._measure_rate(now)
        return risen or exact

    def _measure_trip(self, trip: float, now: float) -> None:
        self.trip = trip
        self.longest = max(trip, self.longest * _FORGET)
        self.rtt = trip if self.rtt is None else self.rtt + (trip - self.rtt) / 8
        if self.least_rtt is None or trip <= self.least_rtt:
            self.least_rtt = trip
            self._least_at = now
        elif now - self._least_at > _LEAST_LIFE:
            # Our own queue stands in every trip while the link is full: let it run dry first.
            if self._drain_until < self._least_at + _LEAST_LIFE:
                self._drain_until = now + max(_SAMPLE, 2 * self.least_rtt)
            elif now >= self._drain_until:
                self.least_rtt = trip
                self._least_at = now

    def _measure_rate(self, now: float) -> None:
        waited = now - self._sample_at
        if waited < _SAMPLE:
            return
        sample = (self.received - self._sample_from) / waited
        if self.rate is None or (self._growing and sample > self.rate):
            self.rate = sample
        elif sample > self.rate or self.in_flight:
            # Reports come in steps, so one sample says little.  Only a busy link says how slow it is.
            self.rate += (sample - self.rate) / 4
        self._sample_at = now
        self._sample_from = self.received
        if self._growing and now - self._round_at >= (self.least_rtt or 0.0):
            self._growing = _ROUNDS if self.rate >= _GROWTH * self._round_rate else self._growing - 1
            self._round_rate = max(self.rate, self._round_rate)
            self._round_at = now


class Grant:
    """The receiver's count and what it grants."""

    __slots__ = ("_base", "_told_limit", "_told_received", "received", "unstored")

    def __init__(self, window: int) -> None:
        if window <= 0:
            raise ValueError(f"a window of {window} bytes")
        self._base = window
        self._told_limit = 0
        self._told_received = 0
        self.received = 0
        #: Bytes of chunks that are whole but not in the store yet: a slow disk shuts the window.
        self.unstored = 0

    @property
    def window(self) -> int:
        """Bytes that may be under way beyond `received`."""
        return max(0, self._base - self.unstored)

    @property
    def untold(self) -> int:
        """Bytes of progress that the sender has not heard of: received, or room that opened again."""
        return max(self.received - self._told_received, self.received + self.window - self._told_limit)

    @property
    def step(self) -> int:
        """Untold bytes that are worth a report at once."""
        return max(1, self._base // 4)

    def told(self) -> None:
        """A report goes out now."""
        self._told_limit = self.received + self.window
        self._told_received = self.received

    def settle(self, charged: int, *, exact: bool) -> None:
        """A mark: all that was charged before it has come or never will.  Only the newest mark is `exact`."""
        self.received = charged if exact else max(self.received, charged)
