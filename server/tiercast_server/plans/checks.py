"""What can't work of an activity plan: refused before anything of it runs.  Pure (docs/jobs.md, "Plans").

Rules
- The shape comes first: names, `after` and `on_failure` that name steps, no circle, no step that could never begin.
- A circle is told step by step, as it is walked.
- Times: what a step must have done by a moment is held against the first moment at which it can begin, which those that
  it comes after decide.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tiercast_protocol.content.jobs.times import read as read_times
from tiercast_protocol.errors import UsageError
from tiercast_server.jobs.checks import MAX_EXPIRY_S
from tiercast_server.jobs.time_checks import Plan, check_times
from tiercast_server.nodes.nearness import suggestion
from tiercast_server.plans.life import GO_ON, STOP, Step

MOST_STEPS = 200
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}\Z")
ALL, TARGET = "all", "target"
_KEYS = frozenset({"name", "after", "on_failure", "per", "job"})


@dataclass(frozen=True, slots=True)
class Planned:
    """A step, and the arguments of `job.create` for its job."""

    step: Step
    args: dict[str, Any]


def read_steps(said: Sequence[Any]) -> list[Planned]:
    """The steps of a plan as a client sends them, checked as far as that needs no database.

    Raises:
        UsageError: plan.empty, plan.step, plan.duplicate, plan.unknown-step, plan.cyclic, plan.never.
    """
    if not 0 < len(said) <= MOST_STEPS:
        what = f"The plan has {len(said)} steps." if said else "The plan has no steps."
        raise UsageError("plan.empty", what, todo=f"Write 1 to {MOST_STEPS} of [[step]]. Nothing was done.")
    found = [_read(one, number) for number, one in enumerate(said, 1)]
    names = [planned.step.name for planned in found]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise _wrong("plan.duplicate", f"{', '.join(map(repr, twice))} is the name of two steps", "Give each its own.")
    for planned in found:
        _check_names(planned.step, names)
    steps = {planned.step.name: planned.step for planned in found}
    if circle := _circle(steps):
        shown = " -> ".join(circle)
        raise _wrong("plan.cyclic", f"The steps wait for each other in a circle: {shown}", "Take out one `after`.")
    _check_never(steps)
    return found


def _read(said: Any, number: int) -> Planned:
    name = said.get("name") if isinstance(said, dict) else None
    if not isinstance(name, str) or not _NAME.match(name) or name in {STOP, GO_ON}:
        todo = f"Letters, digits and _ . - (at most 63); {STOP} and {GO_ON} are words of `on_failure`."
        raise _wrong("plan.step", f"Step {number}: {str(name)[:60]!r} is no name of a step", todo)
    after, on_failure, args = said.get("after", []), said.get("on_failure", STOP), said.get("job")
    if not isinstance(after, list) or not all(isinstance(one, str) for one in after):
        raise _wrong("plan.step", f"Step {name!r}: `after` is no list of names", 'Write after = ["other"].')
    if not isinstance(on_failure, str):
        raise _wrong("plan.step", f"Step {name!r}: `on_failure` is no text", f'Write "{STOP}", "{GO_ON}" or a step.')
    unknown = sorted(map(str, said.keys() - _KEYS))
    if not isinstance(args, dict) or unknown:
        what = "has no job" if not isinstance(args, dict) else f"has unknown keys: {', '.join(map(repr, unknown))}"
        raise _wrong("plan.step", f"Step {name!r} {what}", "See `tiercast plan run --help`.")
    per = said.get("per", ALL)
    if per not in {ALL, TARGET}:
        todo = f'Write per = "{TARGET}" for each machine by itself, or "{ALL}" (the default).'
        raise _wrong("plan.step", f"Step {name!r}: `per` is {str(per)[:60]!r}", todo)
    if args.get("dry_run") or args.get("draft"):
        raise _wrong("plan.step", f"Step {name!r} orders nothing", "Take `dry_run` out of it.")
    return Planned(Step(name, tuple(dict.fromkeys(after)), on_failure, per == TARGET), args)


def _check_names(step: Step, names: Sequence[str]) -> None:
    named = [*step.after, *([] if step.on_failure in {STOP, GO_ON} else [step.on_failure])]
    for name in named:
        if name not in names:
            what = f"Step {step.name!r} names {name[:60]!r}, and there is no such step"
            raise _wrong("plan.unknown-step", what, f"{suggestion(name, names)}Steps: {', '.join(names[:30])}.")


def waits_for(steps: Mapping[str, Step], name: str) -> list[str]:
    """The steps after which `name` may begin: its `after`, and those whose bad end it is for."""
    return [*steps[name].after, *(one.name for one in steps.values() if one.on_failure == name)]


def _circle(steps: Mapping[str, Step]) -> list[str]:
    """A circle, its first step at both ends; [] for none.  Without recursion: a chain may be as long as a plan."""
    done: set[str] = set()
    for first in steps:
        way: list[str] = [] if first in done else [first]
        ahead: list[Iterator[str]] = [iter(waits_for(steps, first))]
        while way:
            after = next(ahead[-1], None)
            if after is None:
                done.add(way.pop())
                ahead.pop()
            elif after in way:
                return [after, *reversed(way[way.index(after) :])]
            elif after not in done:
                way.append(after)
                ahead.append(iter(waits_for(steps, after)))
    return []


def _check_never(steps: Mapping[str, Step]) -> None:
    """Refuse a step that is run because another one failed, and that comes after that very one."""
    for cause in steps.values():
        if cause.on_failure in {STOP, GO_ON}:
            continue
        above, more = set[str](), list(steps[cause.on_failure].after)
        while more:
            name = more.pop()
            if name not in above:
                above.add(name)
                more += steps[name].after
        if cause.name in above:
            what = (
                f"Step {cause.on_failure!r} could never begin: it is for when {cause.name!r} fails, and comes after it"
            )
            raise _wrong("plan.never", what, f"Leave {cause.name!r} out of what it comes after.")


@dataclass(frozen=True, slots=True)
class Timed:
    """What the times of a step depend on; `size` in stored bytes."""

    planned: Planned
    type: str
    options: Mapping[str, str | int | bool]
    expires_s: int
    size: int


def check_all_times(timed: Sequence[Timed], now: int) -> None:
    """Refuse times that no course of the plan could keep; `now` in milliseconds since 1970.

    Raises:
        UsageError: times.*, window.*; with the figures and the step.
    """
    steps = {one.planned.step.name: one.planned.step for one in timed}
    ends: dict[str, float] = {}
    left = {one.planned.step.name: one for one in timed}
    while left:  # those first that wait for nobody who is left: there is no circle
        name = next(name for name in left if not any(other in left for other in waits_for(steps, name)))
        one = left.pop(name)
        # One that may fail may do so at once, whatever its times: only those that must end well hold others up.
        holding = [ends[other] for other in one.planned.step.after if steps[other].on_failure != GO_ON]
        start = max([now / 1000, *holding])
        begins_now = not waits_for(steps, name)
        expires = start + (one.expires_s if begins_now else MAX_EXPIRY_S)
        try:
            anyway = bool(one.planned.args.get("anyway"))
            check_times(Plan(one.type, one.options, start, expires, one.size, anyway=anyway))
        except UsageError as error:
            raise of_step(error, name, late=start > now / 1000) from error
        said = read_times(one.options)
        ends[name] = max(start, said.not_before / 1000, said.distribute_at / 1000)


def of_step(error: UsageError, name: str, *, late: bool = False) -> UsageError:
    """The same mistake, told with the step in which it is."""
    more = " (before that moment this step can't begin: those that it comes after have times of their own)"
    return replace(error, what=f"Step {name!r}: {error.what}{more if late else ''}")


def _wrong(code: str, what: str, todo: str) -> UsageError:
    return UsageError(code=code, what=f"{what}.", todo=f"{todo} Nothing was done.")
