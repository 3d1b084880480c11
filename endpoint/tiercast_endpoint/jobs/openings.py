"""When something is open that several must open: a job's install window and the machine's own.  Pure.

Rules
- Open is when all of them are; each is read as `transfer/calendar.py` has it, by the machine's clock or UTC.
- Nothing is remembered: whatever the clock says is the time, is.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import tzinfo

from tiercast_protocol.transfer import calendar
from tiercast_protocol.transfer.calendar import NEVER, Window

#: A window recurs within a week; a little more, for the borders of summer time.
_LOOK_BACK_S = 9 * 86_400.0
#: Borders that are looked at for an opening: more than any week has, of two.
_MOST_BORDERS = 400


@dataclass(frozen=True, slots=True)
class Openings:
    """Moments are seconds since 1970; `sets` are the windows of each, none of them empty; `names` whose they are."""

    sets: tuple[tuple[Window, ...], ...]
    zone: tzinfo | None = None
    names: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Whether there is any window."""
        return bool(self.sets)

    def text(self, wall: float | None = None) -> str:
        """All windows; those that are shut at `wall`, where it is given."""
        names = self.names or ("",) * len(self.sets)
        both = zip(self.sets, names, strict=True)
        shown = ((one, name) for one, name in both if wall is None or self._shut(one, wall))
        return " and ".join(calendar.shown(one) + (f" ({name})" if name else "") for one, name in shown)

    def open(self, wall: float) -> bool:
        """Whether all are open."""
        return not any(self._shut(one, wall) for one in self.sets)

    def turn(self, wall: float) -> float:
        """When `open` is next another than at `wall`; infinity where it never is, or not for weeks."""
        now, at = self.open(wall), wall
        for _ in range(_MOST_BORDERS):
            at = min((calendar.next_change(one, at, self.zone) for one in self.sets), default=NEVER)
            if at == NEVER or self.open(at) != now:
                return at
        return NEVER

    def since(self, wall: float) -> float:
        """When what is open at `wall` opened; a little more than a week before, where it was not shut since."""
        since = at = wall - _LOOK_BACK_S
        while (change := self.turn(at)) <= wall:
            if not self.open(at):
                since = change
            at = change
        return since

    def fitting(self, wall: float, seconds: float) -> float | None:
        """The first moment from `wall` on from which it stays open for so long; None where there is none."""
        at = wall
        for _ in range(_MOST_BORDERS):
            turn = self.turn(at)
            if self.open(at) and turn - at >= seconds:
                return at
            at = turn
            if at == NEVER:
                break
        return None

    def _shut(self, windows: tuple[Window, ...], wall: float) -> bool:
        return calendar.rate_at(windows, wall, self.zone) == 0.0
