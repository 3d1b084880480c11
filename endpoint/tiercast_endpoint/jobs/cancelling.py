"""A cancel at the machine: what it ends, what it lets finish, and what it says meanwhile (docs/jobs.md, "Times").

Rules
- A cancel ends when what it cancels has ended, and says how that was.
- What goes on although it is cancelled, for it must not be stopped or is past stopping, says so a moment later
  (`cancel.waits`): most have ended by then, and say that.
- It is told as the cancel's own word, under its revision: whoever waits for its answer reads why there is none.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Protocol

from tiercast_endpoint.jobs import journal
from tiercast_endpoint.jobs.install import HARMLESS, PROGRAMS, RUN, STATE_OF, CancelAsked, Outcome, Step
from tiercast_endpoint.jobs.journal import Job
from tiercast_endpoint.jobs.reports import Reporter, pauses_for
from tiercast_protocol.content.jobs import order as o
from tiercast_protocol.content.jobs.reason import Reason, because, packed
from tiercast_protocol.content.package.actions import read_run
from tiercast_protocol.errors import StoreFull, UsageError
from tiercast_protocol.node.database import Database

#: On its way back, or at rest: the cancel acts.
_ENDING = HARMLESS | {Step.REVERT, Step.UNDO, Step.STOP, Step.DISCARD, Step.SETTLE, Step.STAND, Step.END}
_LONGEST = 200


class Running(Protocol):
    """A job at work (`Run`)."""

    job: Job
    since: int
    ended: asyncio.Event

    @property
    def step(self) -> Step:
        """What it is at."""
        ...

    def put(self, event: CancelAsked) -> None:
        """Let it handle the event."""
        ...


def goes_on(job: Job, step: Step, since: int) -> Reason | None:
    """Why a job that was asked to end goes on at `step`, where it is since then; None where it does not."""
    if step in _ENDING:
        return None
    if step not in PROGRAMS or (step is Step.RUN and job.type != RUN):
        return because("cancel.waits", late=STATE_OF[step])
    program, until = PROGRAMS[step], 0
    if step is Step.RUN:
        with suppress(UsageError):  # one that can't be read was never begun
            said = read_run(job.options)
            program, until = " ".join(said.argv)[:_LONGEST], since + said.timeout_s * 1000
    return because("cancel.waits", until=until, program=program, began=since)


async def cancel(order: Job, running: Sequence[Running], db: Database, reporter: Reporter, *, crowd: int = 1) -> None:
    """End what the order names, and tell how it ended.

    Args:
        order: the cancel, journaled.
        running: what it is to end here.
        db: the agent's journal.
        reporter: tells the parent.
        crowd: how many machines the order is for.
    """
    force = order.options.get(o.FORCE) is True
    for run in running:
        run.put(CancelAsked(force=force))
    with suppress(TimeoutError):
        async with asyncio.timeout(pauses_for(crowd)[0]):
            await _over(running)
    left = [run for run in running if not run.ended.is_set()]
    if left and not force and (reason := goes_on(left[-1].job, left[-1].step, left[-1].since)) is not None:
        with suppress(StoreFull):  # its end is told whenever there is room
            order = await reporter.note(order, STATE_OF[left[-1].step], *packed(reason))
            await reporter.tell(order)
    await _over(running)
    earlier = await db.read(lambda connection: journal.revisions(connection, order.job))
    ended = [job for job in earlier if job.revision < order.revision and job.finished]
    outcome = Outcome("cancelled", "cancel.unknown", "The job had not come here.")
    if ended:
        last = ended[-1]
        outcome = Outcome(last.state, last.code, last.detail)
        if last.state != "cancelled":
            detail = f"It had ended before: {last.state} {last.code}".strip()
            outcome = replace(outcome, code="cancel.late", detail=detail)
        order = replace(order, started=last.started, programs=last.programs, package=last.package)
        order = replace(order, version=last.version, root=last.root)
    await reporter.final(order, outcome)


async def _over(running: Sequence[Running]) -> None:
    for run in running:
        await run.ended.wait()
