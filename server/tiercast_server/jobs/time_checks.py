"""What can't work of a job's times: refused when it is ordered, with the figures.  Pure.

Rules (docs/jobs.md, "Times")
- Single values are checked where they are read (`content/jobs/times.py`); here they meet the clock, the type, the
  expiry, the package, and the links on the way as far as their terms are known.
- Only what is impossible is refused: what merely may be late is shown when it is.
- Local windows are judged by this server's clock and zone; each node keeps them by its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import tzinfo
from difflib import get_close_matches

from tiercast_protocol.content.jobs import jobtypes, times
from tiercast_protocol.content.jobs.results import RESULTS
from tiercast_protocol.content.jobs.times import Times
from tiercast_protocol.errors import UsageError
from tiercast_protocol.transfer import calendar
from tiercast_protocol.transfer.overlap import Limit, room
from tiercast_protocol.transfer.terms import job_words

_LATER = "Give a later expiry (--expires), or other times."
#: Openings of a window that are looked at: more than any two weeks have.
_MOST_OPENINGS = 400
#: Seconds within which the earliest end is looked for.
_FAR_S = 366 * 86_400.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What a job is to do, as far as times go; moments in seconds since 1970.

    Attributes:
        type: of the job.
        options: of its order.
        now, expires: when it is ordered, and when it ends at the latest.
        size: stored bytes that travel; 0 for none.
        links: of the ways to its targets, those whose terms are known; each way by itself.
        zone: of local windows; None is this machine's.
        anyway: the person knows that the way may take too long.
    """

    type: str
    options: Mapping[str, object]
    now: float
    expires: float
    size: int = 0
    links: Sequence[Sequence[Limit]] = field(default_factory=list)
    zone: tzinfo | None = None
    anyway: bool = False


def check_times(plan: Plan) -> Times:
    """The job's times, once all was looked at.

    Raises:
        UsageError: times.*, window.*; with the figures.
    """
    said = times.read(plan.options)
    _check_words(plan)
    _check_codes(said)
    _check_moments(plan, said)
    _check_together(said, plan)
    until = _check_window(plan, said)
    _check_way(plan, said, until)
    return said


def _check_words(plan: Plan) -> None:
    kind = jobtypes.of(plan.type)
    if plan.options.get(times.SPREAD_AUTO):
        what = "A spread by what links carry (--spread auto) is for a job by itself"
        raise _refused(times.SPREAD, what, "Say how long: --spread 30m.")
    if kind.role != "endpoint" and (wrong := sorted(times.OF_INSTALLATION & plan.options.keys())):
        raise _refused(
            wrong[0], f"{_named(wrong[0])} is about an installation; {plan.type} installs nothing", "Leave it out."
        )
    if not kind.content and (wrong := sorted(times.OF_TRANSFER & plan.options.keys())):
        raise _refused(
            wrong[0], f"{_named(wrong[0])} is about what travels, and nothing does to {plan.type}", "Use --install-at."
        )


def _check_codes(said: Times) -> None:
    """After a failure that there is not nothing would ever be tried again, and nobody would see why."""
    for word, tries in ((times.CODES, said.transfer), (times.INSTALL_CODES, said.installation)):
        known = sorted(code for code, result in RESULTS.items() if "failed" in result.states)
        for code in sorted(tries.codes):
            if code not in known:
                near = get_close_matches(code, known, n=3)
                meant = f"Did you mean {' or '.join(near)}? " if near else ""
                what = f"No failure has the code {code[:80]!r}"
                raise _refused(word, what, f"{meant}docs/result-codes.md has them all, as program.failed or disk.full.")


def _check_moments(plan: Plan, said: Times) -> None:
    for word in times.MOMENTS:
        moment = getattr(said, word) / 1000
        if not moment:
            continue
        if moment <= plan.now:
            raise _refused(
                "past", f"{_named(word)} is {_at(moment)}, which is over: it is {_at(plan.now)}", "Give a time to come."
            )
        if moment >= plan.expires:
            raise _refused(
                "expiry", f"{_named(word)} is {_at(moment)}, and the job expires at {_at(plan.expires)}", _LATER
            )


def _check_together(said: Times, plan: Plan) -> None:
    if said.switch_at:
        others = [word for word in (times.INSTALL_AT, times.SPREAD, times.INSTALL_WHEN) if word in plan.options]
        if others:
            names = ", ".join(map(_named, others))
            raise _refused(times.SWITCH_AT, f"switch-at is for all at once; {names} says something else", "Give one.")
        if calendar.rate_at(said.window, said.switch_at / 1000, plan.zone) == 0.0:
            shut = f"the install window {calendar.shown(said.window)} is shut"
            what = f"switch-at is {_at(said.switch_at / 1000)}, when {shut}"
            raise _refused("window", what, "Give a time inside the window.")
    if said.prepare_by and said.prepare_by <= said.distribute_at:
        what = f"prepare-by is {_at(said.prepare_by / 1000)}, and nothing moves before {_at(said.distribute_at / 1000)}"
        raise _refused(times.PREPARE_BY, what, "Distribute earlier.")
    if said.deadline and said.deadline <= max(said.not_before, said.distribute_at):
        first = _at(max(said.not_before, said.distribute_at) / 1000)
        what = f"The deadline is {_at(said.deadline / 1000)}, and nothing is installed before {first}"
        raise _refused(times.DEADLINE, what, "Give a later deadline or an earlier time.")


def _check_window(plan: Plan, said: Times) -> float:
    """The last moment at which the installation may begin: what is to be there by then."""
    end = said.deadline / 1000 or plan.expires
    if not said.window:
        return end - said.max_duration_s
    start = max(plan.now, said.not_before / 1000, said.distribute_at / 1000)
    needs, longest, last = float(said.max_duration_s), 0.0, 0.0
    for opens, shuts in openings(said.window, start, end, plan.zone):
        longest = max(longest, shuts - opens)
        if shuts - opens >= needs:
            last = max(last, shuts - needs)
    text = calendar.shown(said.window)
    if not longest:
        what = f"The install window {text} never opens from {_at(start)} to {_at(end)}"
        raise UsageError(code="window.never", what=what, todo=f"{_LATER} Nothing was done.")
    if not last:
        open_ = f"the install window {text} is never open for more than {longest:,.0f} s"
        todo = "Give a longer window, or less to --max-duration. Nothing was done."
        raise UsageError(code="window.short", what=f"The installation may take {needs:,.0f} s; {open_}", todo=todo)
    if said.spread_s + needs > longest:
        what = (
            f"A start spread over {said.spread_s:,} s, and {needs:,.0f} s of installation after it, do not fit into the"
        )
        raise _refused(times.SPREAD, f"{what} install window {text}, open for {longest:,.0f} s", "Spread over less.")
    return last


def _check_way(plan: Plan, said: Times, until: float) -> None:
    if not plan.size or plan.anyway:
        return
    words = job_words(plan.options)
    own = Limit("the job", words.windows, words.policy.pace.rate)
    start = max(plan.now, said.distribute_at / 1000)
    goals = [(until, "deadline" if said.deadline or said.window else "expiry")]
    if said.prepare_by:
        goals.append((said.prepare_by / 1000, times.PREPARE_BY))
    for end, word in goals:
        for way in plan.links or [[]]:
            _check_goal(plan, [own, *way], start, end, word)


def _check_goal(plan: Plan, limits: list[Limit], start: float, end: float, word: str) -> None:
    found = room(limits, start, end, plan.size, plan.zone)
    if found.done is not None:
        return
    said = "; ".join(_limit(limit) for limit in limits if limit.windows or limit.rate is not None)
    if found.seconds <= 0 and end > start:
        what = f"From {_at(start)} to {_at(end)} these are never open together: {said}"
        raise UsageError(
            code="window.apart", what=what, todo="Give windows that overlap, or a later time. Nothing was done."
        )
    later = room(limits, start, start + _FAR_S, plan.size, plan.zone).done
    earliest = f"at the earliest they are at {_at(later)}" if later is not None else "they would take over a year"
    what = (
        f"{plan.size:,} bytes can't be there by {_at(end)}: {found.size:,.0f} fit in the {found.seconds:,.0f} s"
        f" ({found.seconds / 3600:,.1f} h) that are left for them ({said or 'nothing limits it but the time'});"
        f" {earliest}"
    )
    raise _refused(word, what, "Begin earlier, end later, give the link or the job a higher rate, or say --anyway.")


def openings(
    windows: tuple[calendar.Window, ...], start: float, end: float, zone: tzinfo | None = None
) -> list[tuple[float, float]]:
    """When the windows are open between two moments, in order, of the first and the last week at least."""
    found: list[tuple[float, float]] = []
    week = 8 * 86_400.0
    spans = [(start, end)] if end - start <= 2 * week else [(start, start + week), (end - week, end)]
    for first, last in spans:
        at = first
        for _ in range(_MOST_OPENINGS):
            if at >= last:
                break
            shuts = min(last, calendar.next_change(windows, at, zone))
            if calendar.rate_at(windows, at, zone) != 0.0:
                found.append((at, shuts))
            at = shuts
    return found


def _limit(limit: Limit) -> str:
    words = [calendar.shown(limit.windows)] if limit.windows else []
    words += [f"{limit.rate:,.0f} bytes per second"] if limit.rate is not None else []
    return f"{limit.name}: {', '.join(words)}"


def _named(word: str) -> str:
    return word.removesuffix("_s").replace("_", "-")


def _at(moment: float) -> str:
    return calendar.moment(moment)


def _refused(word: str, what: str, todo: str) -> UsageError:
    return UsageError(code=f"times.{word}", what=what, todo=f"{todo} Nothing was done.")
