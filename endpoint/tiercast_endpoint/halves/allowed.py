"""Which step of a signed order the root half carries out next.  Pure (docs/agent.md, "Two halves").

Rules
- The network half asks for steps one by one, and may be in an attacker's hands: what it says of steps done counts for
  nothing.  What this half did itself counts, and it did nothing that it had not written down before.
- Forward only in the order of the steps, none left out that the package has; back only to what stood before.
- What may not run twice, and was begun and not seen to end, is not begun again; a program that failed is begun again as
  often as the order says.
- What ended is over: neither its steps nor an undo of it can be asked for again.
- The first step that changes what stands needs an order that has not expired, and its times.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from tiercast_endpoint.jobs.events import Event, StepDone
from tiercast_endpoint.jobs.story import INSTALL, REMOVE, RUN, Plan, Step
from tiercast_protocol.content.jobs import power
from tiercast_protocol.content.jobs.jobtypes import OFFER, REPAIR

#: In this order, as far as the package has them.
_FORWARD = ("plan", "assemble", "before", "switch", "apply", "after", "enter", "confirm", "settle")
_REMOVAL = ("take", "unlink", "delete")
_PREPARED = ("plan", "assemble")
#: What goes back; with it what it takes back is not done any more.
_BACK = ("revert", "undo", "discard")
_STEPS: dict[str, tuple[str, ...]] = {
    INSTALL: _FORWARD + _BACK,
    OFFER: _FORWARD + _BACK,
    REPAIR: _FORWARD + _BACK,
    REMOVE: _REMOVAL,
    **dict.fromkeys((RUN, *power.TYPES), ("run", "stop")),
}
#: Begins what others see: the order's times count here.
BEGINNING = frozenset({"before", "switch", "take", "unlink", "run"})
_ENDS = frozenset({"settle", "discard", "delete"})
_PROGRAMS = frozenset({"before", "after", "run"})


@dataclass(frozen=True, slots=True)
class Past:
    """What this half did for one job.

    Attributes:
        type: of the order.
        plan: as this half found it.
        done: steps that were done, in their order.
        at: the step that was begun and not seen to end; "" for none.
        failed: programs that failed, and installations that were taken back.
        begun: when the present installation began, in milliseconds since 1970; 0 before.
        over: nothing follows.
    """

    type: str
    plan: Plan = field(default_factory=Plan)
    done: tuple[str, ...] = ()
    at: str = ""
    failed: int = 0
    begun: int = 0
    over: bool = False


@dataclass(frozen=True, slots=True)
class No:
    """Not now, or never: a stable code and a sentence."""

    code: str
    detail: str


def begin(past: Past, step: Step, *, tries: int) -> Past | No:
    """What is written down before `step` is begun, or why it is not; `tries` of an installation are ordered in all."""
    if past.over:
        return No("half.over", "The job is over.")
    if step not in _STEPS.get(past.type, ()):
        return No("half.step", f"A job of type {past.type!r} has no step {step.value!r} here.")
    again = past.at == step
    if again and step in _PROGRAMS and not _may_run_twice(past, step):
        return No("program.interrupted", "It was started and not seen to finish; it is not declared idempotent.")
    missing = _missing(past, step)
    if missing:
        return No("half.order", f"{step.value!r} can't be done now: {missing}.")
    if step in _PROGRAMS and not again and past.failed >= max(tries, 1):
        return No("half.tries", f"It failed {past.failed} times; the order allows {max(tries, 1)} tries.")
    done = () if step is Step.PLAN else past.done
    begun = 0 if step in _PREPARED else past.begun
    return replace(past, at=step.value, done=done, begun=begun)


def end(past: Past, event: Event) -> Past:
    """What is written down when the step that was begun has answered `event`."""
    step, ok = past.at, isinstance(event, StepDone)
    past = replace(past, at="")
    if isinstance(event, StepDone) and event.plan is not None:
        past = replace(past, plan=event.plan)
    if not ok:
        # What a failed step may have changed is there until it was taken back.
        kept = (*past.done, step) if step in {"switch", "apply"} and step not in past.done else past.done
        return replace(past, done=kept, failed=past.failed + (step in _PROGRAMS))
    if step == "undo":
        return replace(past, done=tuple(one for one in past.done if one in _PREPARED), begun=0)
    if step == "revert":
        return replace(past, done=tuple(one for one in past.done if one not in {"apply", "after", "enter", "confirm"}))
    if step == "stop":
        return replace(past, begun=0)
    over = step in _ENDS or step == "run"
    return replace(past, done=past.done if step in past.done else (*past.done, step), over=over)


def _may_run_twice(past: Past, step: str) -> bool:
    return (past.plan.after if step == "after" else past.plan.before) is True


def _missing(past: Past, step: str) -> str:  # noqa: PLR0911 - one line per kind of step
    """What stands between the job and `step`; "" for nothing."""
    done = past.done
    changed = {"switch", "apply", "after", "enter", "confirm"} & {*done, past.at}
    match step:
        case "plan":
            return "something of it was changed already" if {"before"} & {*done} or changed else ""
        case "undo" | "revert":
            return "" if changed or past.at in _BACK else "there is nothing to take back"
        case "discard":
            return "what was switched must be taken back first" if changed else ""
        case "stop":
            return ""
        case "run":
            return "it has been done" if "run" in done else ""
    way = _REMOVAL if past.type == REMOVE else _FORWARD
    needed = [one for one in way[: way.index(step)] if _has(past, one)]
    if lacking := [one for one in needed if one not in done]:
        return f"{lacking[0]!r} comes before it"
    later = [one for one in way[way.index(step) + 1 :] if one in done]
    if later:
        return f"{later[0]!r} has been done"
    again = step not in _PROGRAMS or step not in done or (step == "after" and _may_run_twice(past, step))
    return "" if again else "it has been done"


def _has(past: Past, step: str) -> bool:
    """Whether the job has this step, as far as this half knows."""
    plan = past.plan
    match step:
        case "assemble":
            return not plan.ready
        case "before":
            return plan.before is not None
        case "after":
            return plan.after is not None
        case "apply":
            return bool(getattr(plan, "actions", False))
        case "enter" | "confirm":
            return False
        case _:
            return True
