"""What an order of a step (commit, accept, undo) does to a job, as pure decisions (docs/transactions.md).

Rules
- Steps only go on; who is told to undo goes back, and is never told further.
- Undo counts until the new version is accepted: before the switch nothing is begun any more, after it the old
  version is put back.  During a program it waits for the program's end.
- What the name leads to by another job's word is not touched: then there is nothing to take back.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from tiercast_endpoint.jobs.story import Plan, Snapshot, Step, back_from
from tiercast_protocol.content.jobs.reason import Reason, because
from tiercast_protocol.content.package import phases

#: Steps at which a program, or a switch that may be tried again, is waited for before it is given up.
_WAITED_FOR = frozenset({Step.BEFORE, Step.REVERT, Step.UNDO})
#: Steps at which the new version stands, and may be taken back by order.
STANDING = frozenset({Step.SWITCH, Step.APPLY, Step.AFTER, Step.ENTER, Step.REBOOT, Step.CONFIRM, Step.STAND})


def with_step(at: Snapshot, step: str) -> Snapshot:
    """The job once it is ordered to go as far as `step`; unchanged where that says nothing new, or is too late."""
    phase = phases.further(at.phase, step)
    if phase == at.phase or not at.phase or at.step in {Step.SETTLE, Step.DISCARD, Step.END}:
        return at
    cancel = at.cancel or (phase == phases.UNDO and at.step in _WAITED_FOR)
    return replace(at, phase=phase, cancel=cancel)


#: Steps that may take days, and what is told of each: the turn is given back meanwhile.
ASIDE: dict[Step, Callable[[Plan], Reason]] = {
    Step.REBOOT: lambda plan: because("reboot.waits", mode=plan.reboot),
    Step.CONFIRM: lambda _plan: because("confirm.waits"),
}


def next_aside(at: Snapshot) -> Step | None:
    """Which of them follows the present step; None for none."""
    if at.phase == phases.UNDO:
        return None
    if at.step is Step.ENTER and at.plan.reboot:
        return Step.REBOOT
    return Step.CONFIRM if at.plan.confirm and at.step in {Step.ENTER, Step.REBOOT} else None


def entered(at: Snapshot) -> Step:
    """What follows when the new version stands."""
    if at.phase == phases.UNDO:
        return back_from(Step.AFTER, at.plan)
    return Step.ENTER if at.phase == phases.COMMIT or at.plan.on_trial else Step.SETTLE
