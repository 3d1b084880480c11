"""Recurring windows: what may flow at a moment of the week.  Pure (docs/protocol-steering.md, section 3).

Rules
- A window opens on certain days from one time of day to another, past midnight where the end is not after the
  start; it may carry a rate.  A black-out is the same, and shuts.
- Whoever has windows carries something only inside one; the strictest of the windows that are open counts, and a
  black-out goes before all of them.  Black-outs alone leave everything else open.
- A window is open whenever the clock on the wall says so: in the hour that summer time takes away it does not
  open, in the hour that comes twice it opens twice.  UTC has neither.
- Nothing is remembered: whatever a stepped clock says is the time, is.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from itertools import pairwise

from tiercast_protocol.errors import UsageError

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_EVERY_DAY = frozenset(range(7))
_DAY_MINUTES = 24 * 60
#: Windows recur every week; a day more for those that began before.
_LOOK_DAYS = 8
MOST_WINDOWS = 64
#: No moment is as late.
NEVER = math.inf
_WINDOW = re.compile(
    r"(?P<not>not\s+)?(?P<days>[a-z,-]+)\s+(?P<from>\d{1,2}:\d\d)\s*-\s*(?P<to>\d{1,2}:\d\d)"
    r"(?:\s+at\s+(?P<rate>\d+))?(?P<utc>\s+utc)?"
)


@dataclass(frozen=True, slots=True)
class Window:
    """One recurring window.

    Attributes:
        days: on which it opens; 0 is Monday.
        start, end: minutes of the day; an end that is not after the start is one of the next day.
        rate: most bytes per second while it is open; None is no limit.
        blackout: it shuts instead.
        utc: its times are UTC, not local.
    """

    days: frozenset[int]
    start: int
    end: int
    rate: float | None = None
    blackout: bool = False
    utc: bool = False

    def open_at(self, local: datetime) -> bool:
        """Whether it is open when the clock (of its own kind) says `local`."""
        minute = local.hour * 60 + local.minute
        today, yesterday = local.weekday() in self.days, (local.weekday() - 1) % 7 in self.days
        if self.start < self.end:
            return today and self.start <= minute < self.end
        return (today and minute >= self.start) or (yesterday and minute < self.end)

    def text(self) -> str:
        """As `parse` reads it."""
        rate = "" if self.rate is None else f" at {int(self.rate)}"
        times = f"{_clock(self.start)}-{_clock(self.end)}"
        return f"{'not ' if self.blackout else ''}{_days_text(self.days)} {times}{rate}{' utc' if self.utc else ''}"


def parse(text: str) -> tuple[Window, ...]:
    """Windows of "mon-fri 22:00-06:00 at 2000000; not daily 02:00-03:00 utc" (rates in bytes per second).

    Raises:
        UsageError: window.invalid.
    """
    parts = [part.strip().lower() for part in text.split(";") if part.strip()]
    if not parts or len(parts) > MOST_WINDOWS:
        raise _invalid(text, f"1 to {MOST_WINDOWS} windows, with ; between them")
    return tuple(_parse_one(part) for part in parts)


def shown(windows: Iterable[Window]) -> str:
    """The text of all of them."""
    return "; ".join(window.text() for window in windows)


def rate_at(windows: Sequence[Window], wall: float, zone: tzinfo | None = None) -> float | None:
    """Bytes per second that may flow at `wall` (seconds since 1970): None is no limit, 0.0 is shut.

    `zone` is that of the local windows; None is this machine's.
    """
    local, utc = datetime.fromtimestamp(wall, zone), datetime.fromtimestamp(wall, UTC)
    found = [window for window in windows if window.open_at(utc if window.utc else local)]
    if any(window.blackout for window in found):
        return 0.0
    if not found:
        return 0.0 if any(not window.blackout for window in windows) else None
    return min((window.rate for window in found if window.rate is not None), default=None)


def next_change(windows: Sequence[Window], wall: float, zone: tzinfo | None = None) -> float:
    """When `rate_at` is next another than at `wall`; infinity where it never is."""
    now = rate_at(windows, wall, zone)
    for moment in _borders(windows, wall, zone):
        if rate_at(windows, moment, zone) != now:
            return moment
    return NEVER


def moment(wall: float, zone: tzinfo | None = None) -> str:
    """A moment as people read it, with its distance from UTC: "2026-11-21 22:00 +0100"."""
    return datetime.fromtimestamp(wall, UTC).astimezone(zone).strftime("%Y-%m-%d %H:%M %z")


def read_moment(text: str, now: float) -> float:
    """Seconds since 1970 of the local "2026-12-24 18:00", or of the next "18:00" after `now`.

    Raises:
        ValueError: it is neither, or not after `now`.
    """
    here = datetime.fromtimestamp(now)  # noqa: DTZ006 - the clock on the wall is what a person means
    if "-" in text:
        found = datetime.fromisoformat(text)
    else:
        clock = datetime.strptime(text, "%H:%M")  # noqa: DTZ007 - as above
        found = here.replace(hour=clock.hour, minute=clock.minute, second=0, microsecond=0)
        if found <= here:
            found += timedelta(days=1)
    if found.timestamp() <= now:
        raise ValueError(f"{text!r} is over")
    return found.timestamp()


def capacity(
    windows: Sequence[Window], start: float, end: float, rate: float | None = None, zone: tzinfo | None = None
) -> tuple[float, float]:
    """Seconds that are open between two moments, and bytes that fit into them at most (`rate` besides the windows')."""
    seconds = size = 0.0
    at = start
    while at < end:
        now, change = rate_at(windows, at, zone), min(end, next_change(windows, at, zone))
        if now != 0.0:
            seconds += change - at
            least = min((limit for limit in (now, rate) if limit is not None), default=math.inf)
            size += least * (change - at)
        at = change
        if size == math.inf:  # opens, without a limit: whatever comes after adds nothing that matters
            return seconds, size
    return seconds, size


def _borders(windows: Sequence[Window], wall: float, zone: tzinfo | None) -> Iterator[float]:
    """Moments after `wall` at which something may change, in order, for a little more than a week."""
    found: set[float] = set()
    for utc in {window.utc for window in windows}:
        its_zone = UTC if utc else zone
        minutes = {0} | {m % _DAY_MINUTES for w in windows if w.utc == utc for m in (w.start, w.end)}
        first = datetime.fromtimestamp(wall, its_zone).date()
        stamps = sorted(
            _stamp(first + timedelta(days=day), minute, fold, its_zone)
            for day in range(-1, _LOOK_DAYS + 2)
            for minute in minutes
            for fold in (0, 1)
        )
        found.update(stamps)
        found.update(_turns(stamps, its_zone))
    yield from sorted(moment for moment in found if moment > wall)


def _stamp(day: date, minute: int, fold: int, zone: tzinfo | None) -> float:
    return datetime(day.year, day.month, day.day, minute // 60, minute % 60, tzinfo=zone, fold=fold).timestamp()


def _turns(stamps: Sequence[float], zone: tzinfo | None) -> Iterator[float]:
    """The moments between the first and the last of `stamps` at which the zone's clocks are turned."""
    for before, after in pairwise(stamps):
        low, high = math.floor(before), math.ceil(after)
        offset = _offset(low, zone)
        if offset == _offset(high, zone):
            continue
        while high - low > 1:
            middle = (low + high) // 2
            if _offset(middle, zone) == offset:
                low = middle
            else:
                high = middle
        yield float(high)


def _offset(wall: float, zone: tzinfo | None) -> timedelta | None:
    return datetime.fromtimestamp(wall, UTC).astimezone(zone).utcoffset()


def _parse_one(part: str) -> Window:
    found = _WINDOW.fullmatch(part)
    if found is None:
        raise _invalid(part, '"mon-fri 22:00-06:00", "daily 00:00-24:00 at 2000000 utc" or "not sat,sun 08:00-18:00"')
    rate = float(found["rate"]) if found["rate"] else None
    if found["not"] and rate is not None:
        raise _invalid(part, "a black-out without a rate")
    if rate == 0:
        raise _invalid(part, 'a rate above 0, or "not" before it for a black-out')
    start, end = _minute(found["from"], part), _minute(found["to"], part)
    if start == _DAY_MINUTES:
        raise _invalid(part, "a start before 24:00")
    return Window(_days(found["days"], part), start, end, rate, blackout=bool(found["not"]), utc=bool(found["utc"]))


def _days(text: str, part: str) -> frozenset[int]:
    if text == "daily":
        return _EVERY_DAY
    found: set[int] = set()
    for piece in text.split(","):
        first, dash, last = piece.partition("-")
        if first not in DAYS or (dash and last not in DAYS):
            raise _invalid(part, "days such as mon-fri, sat,sun or daily")
        at, end = DAYS.index(first), DAYS.index(last if dash else first)
        found.update((at + step) % 7 for step in range((end - at) % 7 + 1))
    return frozenset(found)


def _minute(text: str, part: str) -> int:
    hour, minute = (int(number) for number in text.split(":"))
    if minute > 59 or hour * 60 + minute > _DAY_MINUTES:  # noqa: PLR2004 - minutes of an hour
        raise _invalid(part, "times from 00:00 to 24:00")
    return hour * 60 + minute


def _days_text(days: frozenset[int]) -> str:
    if days == _EVERY_DAY:
        return "daily"
    runs: list[list[int]] = []
    for day in sorted(days):
        if runs and runs[-1][-1] == day - 1:
            runs[-1].append(day)
        else:
            runs.append([day])
    return ",".join(DAYS[run[0]] if len(run) == 1 else f"{DAYS[run[0]]}-{DAYS[run[-1]]}" for run in runs)


def _clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


def _invalid(text: str, expected: str) -> UsageError:
    return UsageError(code="window.invalid", what=f"{text[:80]!r} is no window", todo=f"Write {expected}.")
