"""Which machines a step of a plan may begin on, where it is for each machine by itself.  Pure (docs/jobs.md, "Plans").

Rules
- A machine passes a step as its own target of it ended: well, or badly where the step's `on_failure` is "go-on".  What
  other machines do is nothing to it.
- A step that another one names as its `on_failure` is for the machines on which that one ended badly, and no others.
- "stop" of a step stops the machines on which it ended badly: no step for each machine begins there any more.
- A step whose job could not be made has failed on every machine.
- Only sets: who is meant by the step itself, and what was begun, is for the caller.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tiercast_protocol.errors import UsageError
from tiercast_server.plans.life import GO_ON, STOP, PlanLife, Step

_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Ends:
    """The targets of a step's job, by name: all of them, and those that ended well and badly."""

    targets: frozenset[str] = frozenset()
    well: frozenset[str] = frozenset()
    bad: frozenset[str] = frozenset()


def due(life: PlanLife, name: str, ends: Mapping[str, Ends]) -> frozenset[str]:
    """The machines on which the step `name` may begin, or has begun, by what came before it.

    `ends` has every step of the plan that has a job; a step that waits for all of it at once has none due.
    """
    step = life.steps[name]
    failed = {other for other, state in life.states.items() if state == "failed" and other not in ends}
    if any(life.steps[other].on_failure == STOP for other in failed):
        return frozenset()
    causes = life.causes(name)
    found: frozenset[str] | None = None
    for other in step.after:
        if life.steps[other].on_failure == GO_ON and other in failed:
            continue
        passed = _passed(life.steps[other], ends.get(other, Ends()))
        found = passed if found is None else found & passed
    if causes and not failed.intersection(causes):
        bad = frozenset[str]().union(*(ends.get(cause, Ends()).bad for cause in causes))
        found = bad if found is None else found & bad
    if found is None:  # all before it failed everywhere, and that counts as an end: whoever is a target of the plan
        found = frozenset[str]().union(*(one.targets for one in ends.values()))
    return found.difference(*(one.bad for other, one in ends.items() if life.steps[other].on_failure == STOP))


def left(life: PlanLife, name: str, ends: Mapping[str, Ends]) -> int:
    """On how many machines the step may still come to begin, as far as the targets before it are known."""
    before = [other for other in (*life.steps[name].after, *life.causes(name)) if other in ends]
    known = [ends[other].targets for other in life.steps[name].after if other in ends]
    known = known or [ends[other].targets for other in before]
    coming = known[0].intersection(*known[1:]) if known else frozenset[str]()
    for other, one in ends.items():
        step = life.steps[other]
        if other in life.steps[name].after and step.on_failure != GO_ON:
            coming -= one.bad
        if step.on_failure == STOP:
            coming -= one.bad
    causes = [cause for cause in life.causes(name) if cause in ends]
    if causes:
        coming -= frozenset.intersection(*(ends[cause].well for cause in causes))
    begun = ends.get(name, Ends()).targets
    return len(coming - begun)


def check_meant(steps: Sequence[Step], meant: Mapping[str, frozenset[str]]) -> None:
    """Refuse a step for each machine by itself that is for machines on which it could never begin.

    Raises:
        UsageError: plan.targets.
    """
    for step in steps:
        if not step.per_target:
            continue
        for other in step.after:
            missing = sorted(meant[step.name] - meant[other])
            if missing:
                raise _never(step.name, other, "which it comes after", missing, len(meant[step.name]))
        causes = [one.name for one in steps if one.on_failure == step.name]
        failing = frozenset[str]().union(*(meant[cause] for cause in causes))
        if causes and (missing := sorted(meant[step.name] - failing)):
            raise _never(step.name, " or ".join(causes), "whose failure it is for", missing, len(meant[step.name]))


def _passed(step: Step, ends: Ends) -> frozenset[str]:
    return ends.well | ends.bad if step.on_failure == GO_ON else ends.well


def _never(name: str, other: str, how: str, missing: Sequence[str], of: int) -> UsageError:
    more = f" and {len(missing) - _SHOWN:,} more" if len(missing) > _SHOWN else ""
    return UsageError(
        code="plan.targets",
        what=f"Step {name!r} is for each machine by itself, and {len(missing):,} of its {of:,} targets are none of"
        f" {other!r}, {how}: {', '.join(missing[:_SHOWN])}{more}.",
        todo='Give both the same targets, or leave out `per = "target"`. Nothing was done.',
    )
