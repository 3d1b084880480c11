"""How a job can end by itself: outcomes with their codes and sentences.

Rules
- Every code stands in `content.results.RESULTS`.
- What a step, the judge or the order said is told by those; here stands what the job's machine concludes.
"""

from __future__ import annotations

from tiercast_endpoint.jobs.story import PROGRAMS, Outcome, Snapshot, Step
from tiercast_protocol.content.package import phases

UNCHANGED = Outcome("done", "unchanged", "This version was installed already.")
#: Cancelled before anything was changed, after run-before, before another try.
UNTOUCHED = Outcome("cancelled", "cancelled", "Cancelled before anything was changed.")
AFTER_BEFORE = Outcome("cancelled", "cancelled", "Cancelled after run-before had run.")
NO_MORE_TRIES = Outcome("cancelled", "cancelled", "Cancelled before the next try.")
#: Undone before anything was changed, and after the switch.
GIVEN_UP = Outcome("cancelled", "undone", "Undone before anything was changed.")
UNCONFIRMED = Outcome("cancelled", "cancelled", "Cancelled before it was confirmed: the old version is back.")
TAKEN_BACK = Outcome("cancelled", "undone", "Undone: the old version is back.")
SUPERSEDED = Outcome("done", "superseded", "Another job changed what stands there meanwhile; that was left as it is.")


def taken_back(at: Snapshot, *, superseded: bool) -> Outcome:
    """The switch was taken back, and nobody wants another try."""
    if superseded:
        return SUPERSEDED
    return TAKEN_BACK if at.phase == phases.UNDO else NO_MORE_TRIES


def interrupted(step: Step) -> Outcome:
    """The program of this step was begun by an earlier life, and may not be begun again."""
    which = PROGRAMS[step]
    what = f"{which[0].upper()}{which[1:]} was started and not seen to finish"
    return Outcome("interrupted", "program.interrupted", f"{what}; it is not idempotent, so it was not run again.")


def killed(step: Step) -> Outcome:
    """Cancelled by force, while the program of this step ran."""
    return Outcome("cancelled", "cancel.forced", f"Cancelled by force: {PROGRAMS[step]} was killed.")


def cancelled_and_failed(detail: str) -> Outcome:
    """Cancelled while run-before ran, which then failed."""
    return Outcome("cancelled", "cancelled", f"Cancelled while run-before ran, which failed: {detail}")


def expired(failed: Outcome | None) -> Outcome:
    """The order's time is over; `failed` is how the last try ended."""
    last = "" if failed is None else f" the last one failed: {failed.code} {failed.detail}".rstrip()
    return Outcome("expired", "order.expired", f"The order's time passed before it could be carried out.{last}")
