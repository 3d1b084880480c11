"""One job on one endpoint, as a pure machine (docs/on-the-endpoint.md).

Rules
- A step is journaled (`Record`) before it is performed, and its end before the next one starts.  So after
  any crash the journal names the only step that may be half done.
- Every step but the two programs may be performed again.  A program that was started and not seen to
  finish is `interrupted`, unless it declared itself idempotent.
- Up to `Step.SWITCH` the old version stands untouched; from there on the job either settles on the new one or
  undoes the switch.  A cancel or expiry that comes later than that is too late, and changes nothing.
- What is prepared waits in `HOLD` until its gate opens (`gate.py`), and only there: an installation begins with a
  look at the gate, also after a crash.  Whoever waits there, or before its first step, gives its turn back.
- What the facts of the machine and its owner say (`Judged`) comes before every event: it keeps what rests where it is,
  or ends what has touched nothing yet; what has begun is no more its business.
- A failure that the order lets be tried again leads back to `WAIT` or `HOLD`, after a switch by way of `UNDO`; the
  number of tries only grows.
- In two phases (`phased.py`) what is prepared waits for the order to commit, and what is committed, its old version
  kept, for the order to accept; an order to undo leads back from wherever it finds the job.
- There is exactly one outcome, and once there is one it is never exchanged for another.
- A late answer (of a step that is no longer the present one) returns no commands.
"""

from __future__ import annotations

from dataclasses import replace

from tiercast_endpoint.jobs import endings
from tiercast_endpoint.jobs.events import (
    Abort,
    CancelAsked,
    Command,
    Event,
    Finish,
    HeldBack,
    Judged,
    OrderExpired,
    Perform,
    Record,
    Recovered,
    Rest,
    Running,
    Seek,
    SendingLate,
    StepDone,
    StepFailed,
    StepOrdered,
    Stopping,
    Tell,
    TimeCame,
    TurnCame,
    prepared,
)
from tiercast_endpoint.jobs.gate import Gate
from tiercast_endpoint.jobs.phased import ASIDE, STANDING, entered, next_aside, with_step
from tiercast_endpoint.jobs.story import (
    FIRST,
    HARMLESS,
    INSTALL,
    MESSAGE,
    ON_FAILURE,
    PREPARING,
    PROGRAMS,
    REMOVE,
    RESTART,
    RESTING,
    RUN,
    SENDING,
    STATE_OF,
    Outcome,
    Plan,
    Snapshot,
    Step,
    back_from,
)
from tiercast_endpoint.jobs.tries import failed_with, next_try
from tiercast_endpoint.jobs.waits import Waits
from tiercast_protocol.content.jobs.reason import Reason, packed
from tiercast_protocol.content.jobs.times import SHUTDOWN, START
from tiercast_protocol.content.package import phases

__all__ = [
    "FIRST",
    "HARMLESS",
    "INSTALL",
    "MESSAGE",
    "ON_FAILURE",
    "PROGRAMS",
    "REMOVE",
    "RESTART",
    "RESTING",
    "RUN",
    "STATE_OF",
    "Abort",
    "CancelAsked",
    "Command",
    "Event",
    "Finish",
    "HeldBack",
    "Install",
    "Judged",
    "OrderExpired",
    "Outcome",
    "Perform",
    "Plan",
    "Record",
    "Recovered",
    "Rest",
    "Running",
    "Seek",
    "SendingLate",
    "Snapshot",
    "Step",
    "StepDone",
    "StepFailed",
    "StepOrdered",
    "Stopping",
    "Tell",
    "TimeCame",
    "TurnCame",
    "prepared",
]


class Install:
    """The machine of one job.

    Args:
        snapshot: a new job's (`Snapshot("install")`) or the journal's last.
        gate: its times on this machine.
        held: why the parent has it wait; None where it does not.
    """

    def __init__(self, snapshot: Snapshot, gate: Gate | None = None, held: Reason | None = None) -> None:
        if snapshot.type not in FIRST:
            raise ValueError(f"no machine for a job of type {snapshot.type!r}")
        self.snapshot = snapshot
        self._waits = Waits(gate or Gate(), held)

    @property
    def gate(self) -> Gate:
        """Its times on this machine."""
        return self._waits.gate

    @gate.setter
    def gate(self, gate: Gate) -> None:
        self._waits.gate = gate

    def handle(self, event: Event, *, now: int) -> list[Command]:  # noqa: C901, PLR0911, PLR0912 - one line per event
        """What to do, in order, now that `event` happened; `now` is milliseconds since 1970."""
        at, waits = self.snapshot, self._waits
        match event:
            case TurnCame():
                return self._turn(now) if at.step in RESTING else []
            case TimeCame():
                return self._look(now)
            case Stopping():
                waits.happened |= {SHUTDOWN}
                return self._look(now)
            case Running(app):
                waits.running = app
                return []
            case HeldBack(reason):
                waits.held = reason
                return self._look(now)
            case Judged(end=end):
                waits.judged = event
                return self._abandon(end) if end is not None and at.step in HARMLESS else []
            case SendingLate():
                return self._send_late(now)
            case Recovered():
                return self._recovered(now)
            case StepDone():
                return self._done(event, now) if event.step is at.step else []
            case StepFailed():
                return self._failed(event, now) if event.step is at.step else []
            case StepOrdered(step):
                return self._ordered(step, now)
            case CancelAsked(force):
                return self._cancelled(now, force=force)
            case OrderExpired():
                return self._out_of_time(now)

    def wait(self, now: int) -> Reason | None:
        """What the job waits for besides its turn; None when it may begin, or has."""
        return self._waits.reason(self.snapshot, now)

    @property
    def sending_ends(self) -> int | None:
        """When the way here has taken as long as it may, in milliseconds since 1970; None where nothing says."""
        at, limit = self.snapshot, self.gate.times.send_timeout_s
        return at.sending + limit * 1000 if limit and at.sending and at.step in SENDING else None

    @property
    def heeds_expiry(self) -> bool:
        """Whether the end of the order's time means anything where it is."""
        at = self.snapshot
        return at.step in HARMLESS or (at.step is Step.STAND and at.phase == phases.COMMIT)

    # -- what each event means ---------------------------------------------------------------------

    def _turn(self, now: int) -> list[Command]:
        at = self.snapshot
        if (wait := self.wait(now)) is not None:
            return self._waits.rest(at, wait)
        if at.step is Step.STAND:
            back = at.phase == phases.UNDO or at.outcome is not None
            return self._go(back_from(Step.STAND, at.plan) if back else Step.SETTLE)
        if at.step is Step.WAIT and at.type == INSTALL:
            self.snapshot = replace(at, sending=now)
            return self._go(Step.PLAN)
        self.snapshot = replace(at, begun=now, decided=self._waits.judged.values)
        return self._go(FIRST[at.type] if at.step is Step.WAIT else self._first_of_installation())

    def _look(self, now: int) -> list[Command]:
        return self._waits.look(self.snapshot, now) if self.snapshot.step in RESTING else []

    def _recovered(self, now: int) -> list[Command]:  # noqa: PLR0911 - one per kind of step
        at = self.snapshot
        if at.step not in PREPARING and (at.step is not Step.WAIT or at.type != INSTALL):
            # What waits for the agent's start has it: it was prepared before.
            self._waits.happened |= {START}
        if at.step in RESTING:
            return self._look(now)
        if at.step is Step.END:
            return [Finish(self._outcome())]
        if at.step is Step.RESTART:
            return self._go(Step.END)  # this life is the restart
        if at.step in PROGRAMS and not (at.plan.after if at.step is Step.AFTER else at.plan.before):
            return self._go(back_from(at.step, at.plan), endings.interrupted(at.step))
        if at.step is Step.BEFORE and not at.cancel:
            # Nothing but that program was begun, and it may be begun again: when the gate is open.
            return self._ready(now)
        if at.step in ASIDE:
            return self._aside(at.step)
        if at.step is Step.RUN and self._waits.to_begin(now) is not None:
            return self._go(Step.STOP)
        return [Tell(STATE_OF[at.step]), Perform(at.step)]

    def _done(self, event: StepDone, now: int) -> list[Command]:  # noqa: C901, PLR0911, PLR0912 - one line per step: the table
        at = self.snapshot
        if event.plan is not None:
            self.snapshot = at = replace(at, plan=event.plan)
        match at.step:
            case Step.PLAN if at.plan.current:
                # DISCARD takes away the chunks that were fetched to find this out.
                return self._go(Step.DISCARD, endings.UNCHANGED)
            case Step.PLAN:
                return self._ready(now) if at.plan.ready else self._go(Step.FETCH)
            case Step.FETCH:
                return self._go(Step.ASSEMBLE)
            case Step.ASSEMBLE:
                return self._ready(now)
            case Step.BEFORE if at.cancel:
                return self._go(Step.DISCARD, endings.AFTER_BEFORE)
            case Step.BEFORE:
                return self._go(Step.SWITCH)
            case Step.SWITCH if at.plan.actions:
                return self._go(Step.APPLY)
            case Step.SWITCH | Step.APPLY if at.plan.after is not None:
                return self._go(Step.AFTER)
            case Step.REVERT | Step.TAKE:
                return self._go(Step.UNDO if at.step is Step.REVERT else Step.UNLINK)
            case Step.SWITCH | Step.APPLY | Step.AFTER:
                return self._go(entered(at))
            case Step.ENTER | Step.REBOOT if (aside := next_aside(at)) is not None:
                return self._aside(aside)
            case Step.ENTER:
                self.snapshot = replace(at, step=Step.STAND)
                return [Record(self.snapshot), *self._look(now)] if at.phase == phases.COMMIT else self._turn(now)
            case Step.REBOOT | Step.CONFIRM:
                return self._stand(None, now)
            case Step.UNDO if at.outcome is None and not at.cancel and at.phase != phases.UNDO:
                return self._ready(now)
            case Step.UNDO:
                return self._go(Step.DISCARD, at.outcome or endings.taken_back(at, superseded=event.superseded))
            case Step.STOP if at.outcome is None and at.cancel:
                return self._go(Step.END, endings.NO_MORE_TRIES)
            case Step.STOP if at.outcome is None:
                self.snapshot = replace(at, step=Step.WAIT)
                return [Record(self.snapshot), *self._look(now)]
            case Step.SETTLE if event.superseded:
                return self._go(Step.END, endings.SUPERSEDED)
            case Step.RUN | Step.KEEP | Step.VERIFY:
                return self._go(Step.END, Outcome("done", event.code, event.detail))
            case Step.UNLINK:
                self.snapshot = replace(at, outcome=Outcome("done", event.code, event.detail))
                return self._go(Step.DELETE)
            case _:
                return self._go(Step.END)

    def _failed(self, event: StepFailed, now: int) -> list[Command]:
        at = self.snapshot
        outcome, self.snapshot, mendable = failed_with(at, event, self._outcome())
        if at.step in ASIDE:
            return self._stand(outcome, now)
        if mendable and (found := next_try(at, self.gate.times, outcome, now)) is not None:
            self.snapshot, to = found
            if to not in RESTING:
                return self._go(to)
            self.snapshot = replace(self.snapshot, step=to)
            return [Record(self.snapshot), *self._look(now)]
        return self._go(back_from(at.step, at.plan), outcome)

    def _aside(self, step: Step) -> list[Command]:
        """Nobody waits for what may take days: the turn is given back meanwhile."""
        self.snapshot = replace(self.snapshot, step=step)
        told = Tell(STATE_OF[step], *packed(ASIDE[step](self.snapshot.plan)))
        return [Record(self.snapshot), told, Rest(), Perform(step)]

    def _stand(self, outcome: Outcome | None, now: int) -> list[Command]:
        """Confirmed, or with the `outcome` for which it goes back, when its turn comes."""
        self.snapshot = replace(self.snapshot, step=Step.STAND, outcome=outcome)
        return [Record(self.snapshot), *self._look(now)]

    def _send_late(self, now: int) -> list[Command]:
        if (ends := self.sending_ends) is None or now < ends:
            return []
        step, limit = self.snapshot.step, self.gate.times.send_timeout_s
        late = StepFailed(step, "send.timeout", f"It was not all here within {limit:,} s.")
        return [Abort(step), *self._failed(late, now)]

    def _ordered(self, step: str, now: int) -> list[Command]:
        at = self.snapshot
        after = with_step(at, step)
        if at.outcome is not None or after == at:
            return []
        self.snapshot = after
        if after.phase == phases.UNDO and at.step in HARMLESS:
            return self._abandon(endings.GIVEN_UP)
        if after.phase == phases.UNDO and at.step in ASIDE:
            return [Abort(at.step), *self._stand(endings.TAKEN_BACK, now)]
        return [Record(after), *self._look(now)]

    def _cancelled(self, now: int, *, force: bool) -> list[Command]:
        at = self.snapshot
        if at.step in HARMLESS:
            return self._abandon(endings.UNTOUCHED)
        if at.step in ASIDE:
            return [Abort(at.step), *self._stand(endings.UNCONFIRMED, now)]
        if at.phase == phases.COMMIT and at.step in STANDING and not (force and at.step in PROGRAMS):
            return self._ordered(phases.UNDO, now)
        if force and at.step in PROGRAMS:
            return [Abort(at.step), *self._go(back_from(at.step, at.plan), endings.killed(at.step))]
        waits = at.step is Step.BEFORE or (at.step in {Step.REVERT, Step.UNDO, Step.STOP} and at.outcome is None)
        if waits and not at.cancel:
            # The program is let end: it may not be safe to stop, and what follows is in our hands.
            self.snapshot = replace(at, cancel=True)
            return [Record(self.snapshot)]
        return []

    def _out_of_time(self, now: int) -> list[Command]:
        if self.snapshot.step in HARMLESS:
            return self._abandon(endings.expired(self.snapshot.failed))
        # What is committed stands: accepting it is all that is left to do.
        return self._ordered(phases.ACCEPT, now) if self.heeds_expiry else []

    def _abandon(self, outcome: Outcome) -> list[Command]:
        step = self.snapshot.step
        if step is Step.WAIT and not self.snapshot.tried:
            return self._go(Step.END, outcome)
        return [Abort(step), *self._go(Step.DISCARD, outcome)]

    # -- moving on ---------------------------------------------------------------------------------

    def _ready(self, now: int) -> list[Command]:
        """All is prepared: begin, or hold until the gate opens."""
        self.snapshot = replace(self.snapshot, step=Step.HOLD)
        if self.wait(now) is None:
            self.snapshot = replace(self.snapshot, begun=now, decided=self._waits.judged.values)
            return self._go(self._first_of_installation())
        return [Record(self.snapshot), *self._look(now)]

    def _first_of_installation(self) -> Step:
        return Step.SWITCH if self.snapshot.plan.before is None else Step.BEFORE

    def _outcome(self) -> Outcome:
        outcome, decided = self.snapshot.outcome or Outcome("done"), self.snapshot.decided
        if not decided or outcome.detail.endswith(decided):
            return outcome
        return replace(outcome, detail=f"{outcome.detail} {decided}".strip())

    def _go(self, step: Step, outcome: Outcome | None = None) -> list[Command]:
        before = self.snapshot
        kept = before.outcome or outcome
        if step is Step.END and kept is None:
            kept = Outcome("done")
        self._waits.moved()
        self.snapshot = replace(before, step=step, outcome=kept)
        commands: list[Command] = [Record(self.snapshot)]
        if step is Step.END:
            return [*commands, Finish(self._outcome())]
        if STATE_OF[step] != STATE_OF.get(before.step):
            commands.append(Tell(STATE_OF[step]))
        return [*commands, Perform(step)]
