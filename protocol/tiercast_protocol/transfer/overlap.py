"""What fits through several limits at once: windows and rates of a job and of the links on its way.  Pure.

Rules
- Something moves only while all are open, at the least of their rates.
- It is looked at from the start on, and no further than it takes: windows recur every week, so what has not been open
  together for two weeks never is, and what months have carried is carried on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import tzinfo

from tiercast_protocol.transfer import calendar
from tiercast_protocol.transfer.calendar import Window

_NEVER_S = 15 * 86_400.0
_LONG_S = 60 * 86_400.0


@dataclass(frozen=True, slots=True)
class Limit:
    """Of one job or link: its name, its windows, and bytes per second besides theirs.

    `copies`: how many children on the ways it is for together; each may need one of its own.
    """

    name: str
    windows: tuple[Window, ...] = ()
    rate: float | None = None
    copies: int = 1

    def at(self, wall: float, zone: tzinfo | None) -> float | None:
        """Bytes per second at a moment; None is no limit."""
        rates = [one for one in (calendar.rate_at(self.windows, wall, zone), self.rate) if one is not None]
        return min(rates, default=None)

    def change(self, wall: float, zone: tzinfo | None) -> float:
        """When `at` is next another."""
        return calendar.next_change(self.windows, wall, zone) if self.windows else calendar.NEVER


@dataclass(frozen=True, slots=True)
class Room:
    """Seconds in which all were open and bytes that fitted; `done` is when all had, None where they never do."""

    seconds: float
    size: float
    done: float | None


def room(limits: Sequence[Limit], start: float, end: float, size: int, zone: tzinfo | None = None) -> Room:
    """How `size` bytes fit through all `limits` from `start` to `end` (seconds since 1970)."""
    seconds = sent = 0.0
    at, changes = start, [limit.change(start, zone) for limit in limits]
    while at < end:
        until = min([end, *changes])
        rates = [limit.at(at, zone) for limit in limits]
        least = min((rate for rate in rates if rate is not None), default=calendar.NEVER)
        if least > 0:
            if sent + least * (until - at) >= size:
                took = 0.0 if least == calendar.NEVER else (size - sent) / least
                return Room(seconds + took, float(size), at + took)
            seconds += until - at
            sent += least * (until - at)
        at = until
        if not seconds and at - start > _NEVER_S:
            break
        if at - start > _LONG_S:
            share = (end - start) / (at - start)
            done = start + (at - start) * size / sent
            return Room(seconds * share, sent * share, done if done <= end else None)
        changes = [
            limit.change(at, zone) if change <= at else change for limit, change in zip(limits, changes, strict=True)
        ]
    return Room(seconds, sent, None)
