"""Another run of a plan that has ended: all of it, or what did not end well.  Pure.

Rules
- Of a step that ended well nothing is waited for: it is not run again, and what comes after it need not wait.
- A step that is run where another one fails goes with that one: by itself it never begins.
- What came after a step that is left out, and did not end well, is left out too: it could never begin.
- Moments that are over are left out, and told.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from tiercast_server.jobs.reruns import again
from tiercast_server.plans.checks import Planned
from tiercast_server.plans.life import GO_ON, STOP, StepState


def rest(steps: Sequence[Planned], states: Mapping[str, StepState]) -> list[Planned]:
    """The steps of a plan that is to do what the first one with these `states` did not."""
    named = {one.step.name: one for one in steps}
    kept = {name for name in named if states[name] != "done"}
    causes = {name: [one.step.name for one in steps if one.step.on_failure == name] for name in named}
    moved = True
    while moved:  # each of these may be the reason of another one
        wanted = {named[name].step.on_failure for name in kept} - {STOP, GO_ON}
        more = {name for name in wanted if name not in kept}
        without = {name for name in kept if causes[name] and not kept.intersection(causes[name])}
        gone = {name for name in named if name not in kept and states[name] != "done"} | without
        without |= {name for name in kept if gone.intersection(named[name].step.after)}
        moved = bool(more - without or without)
        kept = (kept | more) - without
    return [
        replace(one, step=replace(one.step, after=tuple(name for name in one.step.after if name in kept)))
        for one in steps
        if one.step.name in kept
    ]


def without_past(steps: Sequence[Planned], now: int) -> tuple[list[Planned], dict[str, list[str]]]:
    """The same steps without moments before `now` (milliseconds since 1970); which were left out, by step."""
    found: list[Planned] = []
    dropped: dict[str, list[str]] = {}
    for one in steps:
        options, over = again(dict(one.args.get("options", {})), now)
        if over:
            dropped[one.step.name] = over
        found.append(replace(one, args={**one.args, "options": options} if "options" in one.args else one.args))
    return found, dropped
