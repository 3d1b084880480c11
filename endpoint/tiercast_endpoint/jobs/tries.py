"""What a failed step comes to, and where the next try begins, as pure decisions.

Rules
- The way here and the installation are counted apart; the number of tries only grows.
- What fails while something is cleared away changes no outcome: the new state stands, or the old one does.
- A switch is taken back before it is tried again.
"""

from __future__ import annotations

from dataclasses import replace

from tiercast_endpoint.jobs import endings
from tiercast_endpoint.jobs.events import StepFailed
from tiercast_endpoint.jobs.story import INSTALLING, PREPARING, Outcome, Snapshot, Step, back_from
from tiercast_protocol.content.jobs.times import Times


def failed_with(at: Snapshot, event: StepFailed, last: Outcome) -> tuple[Outcome, Snapshot, bool]:
    """The outcome, the snapshot with it where nothing else may be its outcome, and whether another try may mend it.

    `last` is how the job ends without this failure.
    """
    step, outcome = at.step, Outcome(event.state, event.code, event.detail)
    if step is Step.STOP and at.outcome is None:
        return at.failed or outcome, at, False
    if step in {Step.SETTLE, Step.DISCARD, Step.DELETE, Step.STOP}:
        # What is left behind is swept at the next start.
        return replace(last, code=last.code or event.code), at, False
    if step in {Step.REVERT, Step.UNDO}:
        was = at.outcome or at.failed or replace(outcome, detail="")
        outcome = Outcome(was.state, "undo.failed", f"{was.detail} {event.detail}".strip())
        return outcome, replace(at, outcome=outcome), False
    if at.cancel and step is Step.BEFORE:
        return endings.cancelled_and_failed(event.detail), at, False
    return outcome, at, True


def next_try(at: Snapshot, times: Times, outcome: Outcome, now: int) -> tuple[Snapshot, Step] | None:
    """The job with one try less, and the step that it goes to; None where this was the last."""
    if at.step in PREPARING:
        tries, failed, to = times.transfer, at.tried + 1, Step.WAIT
        after = replace(at, tried=failed)
    elif at.step in INSTALLING:
        tries, failed, to = times.installation, at.installed + 1, Step.HOLD
        after = replace(at, installed=failed)
    else:
        return None
    pause = tries.pause_after(failed, outcome.code)
    if pause is None:
        return None
    after = replace(after, again=now + pause, failed=outcome)
    changed = at.step in {Step.SWITCH, Step.APPLY, Step.AFTER, Step.RUN}
    return after, back_from(at.step, at.plan) if changed else to
