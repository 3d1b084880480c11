"""Whether a job of this machine may fetch, and whether it may install, at a moment.  Pure.

Rules (docs/jobs.md, "Times")
- Nothing is remembered: the same order, machine and moment give the same answer, whatever the clock did before.
- A window closes hard: what can't end before does not begin, and what has begun is given no time beyond it.
- The spread is a share by the machine's name, of the time after whatever opened; it is cut to what the window leaves.
- Whatever waits says why, with a stable code and, where it is known, the moment that frees it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import tzinfo

from tiercast_endpoint.jobs.openings import Openings
from tiercast_endpoint.jobs.programs import GRACE_S
from tiercast_protocol.content.jobs.reason import Reason, because
from tiercast_protocol.content.jobs.times import SHUTDOWN, START, Times
from tiercast_protocol.content.sealed.digest import digest_of
from tiercast_protocol.transfer import calendar

NO_TIMES = Times()
_EVENTS = {START: "agent.start", SHUTDOWN: "agent.stop"}


@dataclass(frozen=True, slots=True)
class Allowed:
    """How long a program may run, and the grace after it; code and text say what ends it. 0 s: it may not begin."""

    timeout_s: float
    grace_s: float
    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class Preferred:
    """Windows in which the owner would have it, and until when (ms since 1970) they may be waited for."""

    windows: tuple[calendar.Window, ...] = ()
    last: int = 0


NO_WISH = Preferred()


@dataclass(frozen=True, slots=True)
class Gate:
    """The times of one job on one machine.

    Attributes:
        times: of its order.
        issued: when it was ordered, in milliseconds since 1970.
        share: of the spread, 0 to 1.
        observed_s: how long the package's programs took here before.
        zone: of local windows; None is this machine's.
        machine: the owner's own windows; besides the job's.
        groups: those of the machine's groups, each with the group's name; besides both.
        preferred: what its owner wished; it is waited for as far as he may put the job off.
    """

    times: Times = NO_TIMES
    issued: int = 0
    share: float = 0.0
    observed_s: float = 0.0
    zone: tzinfo | None = None
    machine: tuple[calendar.Window, ...] = ()
    groups: tuple[tuple[str, tuple[calendar.Window, ...]], ...] = ()
    preferred: Preferred = NO_WISH

    @property
    def expected_s(self) -> float:
        """How long the installation takes: as declared, else as observed."""
        return float(self.times.max_duration_s or self.observed_s)

    def before_transfer(self, now: int) -> Reason | None:
        """Why nothing may be fetched at `now`."""
        at = self.times.distribute_at
        if now < at:
            return because("time.distribute", until=at)
        due = max(at, self.issued) + int(self.share * self.times.fetch_spread_s * 1000)
        return because("time.spread", until=due) if now < due else None

    def before_installation(self, now: int, happened: frozenset[str] = frozenset(), running: str = "") -> Reason | None:
        """Why nothing may be installed at `now`.

        Args:
            now: milliseconds since 1970.
            happened: those of `START` and `SHUTDOWN` that came.
            running: a program that runs, of those during which it is not to be; "" for none.
        """
        times = self.times
        if now < times.not_before:
            return because("time.install", until=times.not_before)
        if times.when in _EVENTS and times.when not in happened:
            return because(_EVENTS[times.when])
        wait = self._window(now) or self._wish(now)
        return because("app.running", app=running) if wait is None and running else wait

    @property
    def openings(self) -> Openings:
        """The job's install window, the machine's, and those of its groups: all of them hold."""
        sets = (("", self.times.window), ("", self.machine), *((f"group {name}", one) for name, one in self.groups))
        held = [(name, one) for name, one in sets if one]
        return Openings(tuple(one for _, one in held), self.zone, tuple(name for name, _ in held))

    def closes(self, now: int) -> int | None:
        """When the windows that are open at `now` close, in milliseconds since 1970; None where none does."""
        turn = self.openings.turn(now / 1000)
        return None if turn == calendar.NEVER else int(turn * 1000)

    def ends(self, begun: int) -> int | None:
        """When an installation that began at `begun` is over at the latest; None where nothing says."""
        ends = [begun + self.times.max_duration_s * 1000] if self.times.max_duration_s else []
        if (close := self.closes(begun)) is not None:
            ends.append(close)
        return min(ends, default=None)

    def allowed(self, timeout_s: float, *, begun: int, now: int) -> Allowed:
        """How long a program of the installation that began at `begun` may run from `now`, if it may so long at all."""
        own = Allowed(timeout_s, GRACE_S, "program.timeout", f"its time-out is {timeout_s:,.0f} s")
        ends = self.ends(begun) if begun else None
        if ends is None:
            return own
        left = (ends - now) / 1000
        grace = min(GRACE_S, max(left, 0.0) / 4)
        if timeout_s <= left - grace:
            return own
        if ends == self.closes(begun):
            code, why = "window.closed", f"its window {self.openings.text()} shuts at {_said(ends)}"
        else:
            code, why = "duration.over", f"the installation may take {self.times.max_duration_s:,} s"
        return Allowed(max(left - grace, 0.0), grace, code, why)

    def _window(self, now: int) -> Reason | None:
        openings, wall = self.openings, now / 1000
        since, room = max(self.times.not_before, self.issued), None
        if openings:
            if not openings.open(wall):
                return because("window.shut", window=openings.text(wall), until=self._next_fitting(wall))
            close = self.closes(now)
            if close is not None and now + self.expected_s * 1000 > close:
                until, left = self._next_fitting(close / 1000), round((close - now) / 1000)
                expected = round(self.expected_s)
                return because("window.short", window=openings.text(), expected=expected, left=left, until=until)
            since = max(since, int(openings.since(wall) * 1000))
            room = None if close is None else max(0.0, close - since - self.expected_s * 1000)
        spread = self.times.spread_s * 1000.0 if not self.times.switch_at else 0.0
        due = since + int(self.share * (spread if room is None else min(spread, room)))
        return because("time.spread", until=due) if now < due else None

    def _wish(self, now: int) -> Reason | None:
        """The next time that the owner prefers, and that everything else allows; None where there is none in time."""
        wished, times = self.preferred, self.times
        if not wished.windows or times.switch_at or times.when == SHUTDOWN or now >= wished.last:
            return None
        both = Openings((wished.windows, *self.openings.sets), self.zone)
        best = both.fitting(now / 1000, self.expected_s)
        if best is None or not now < best * 1000 < wished.last:
            return None
        return because("owner.preferred", window=calendar.shown(wished.windows), until=int(best * 1000))

    def _next_fitting(self, wall: float) -> int:
        """The next opening at or after `wall` that is long enough, in milliseconds; 0 where none is."""
        return int((self.openings.fitting(wall, self.expected_s) or 0.0) * 1000)


def share_of(node: str) -> float:
    """The machine's place in any spread start: 0 to 1, the same for ever, evenly over many names."""
    return int.from_bytes(digest_of(node.encode())[:6], "big") / (1 << 48)


def _said(moment: int) -> str:
    return calendar.moment(moment / 1000)
