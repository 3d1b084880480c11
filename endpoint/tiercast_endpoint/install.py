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
- There is exactly one outcome, and once there is one it is never exchanged for another.
- A late answer (of a step that is no longer the present one) returns no commands.
"""

from __future__ import annotations

from dataclasses import replace

from tiercast_endpoint.gate import Gate
from tiercast_endpoint.story import (
    FIRST,
    HARMLESS,
    INSTALL,
    INSTALLING,
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
    Abort,
    CancelAsked,
    Command,
    Event,
    Finish,
    HeldBack,
    Judged,
    OrderExpired,
    Outcome,
    Perform,
    Plan,
    Record,
    Recovered,
    Rest,
    Running,
    Seek,
    SendingLate,
    Snapshot,
    Step,
    StepDone,
    StepFailed,
    Stopping,
    Tell,
    TimeCame,
    TurnCame,
    back_from,
    prepared,
)
from tiercast_protocol.content.reason import Reason, because, packed
from tiercast_protocol.content.times import SHUTDOWN, START

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
        self.gate = gate or Gate()
        self._happened: frozenset[str] = frozenset()
        self._running = ""
        self._held = held
        self._told: Reason | None = None
        self._judged = Judged()

    def handle(self, event: Event, *, now: int) -> list[Command]:  # noqa: C901, PLR0911 - one line per event
        """What to do, in order, now that `event` happened; `now` is milliseconds since 1970."""
        at = self.snapshot
        match event:
            case TurnCame():
                return self._turn(now) if at.step in RESTING else []
            case TimeCame():
                return self._look(now) if at.step in RESTING else []
            case Stopping():
                self._happened |= {SHUTDOWN}
                return self._look(now) if at.step in RESTING else []
            case Running(app):
                self._running = app
                return []
            case HeldBack(reason):
                self._held = reason
                return self._look(now) if at.step in RESTING else []
            case Judged(end=end):
                self._judged = event
                return self._abandon(end) if end is not None and at.step in HARMLESS else []
            case SendingLate():
                return self._send_late(now)
            case Recovered():
                return self._recovered(now)
            case StepDone():
                return self._done(event, now) if event.step is at.step else []
            case StepFailed():
                return self._failed(event, now) if event.step is at.step else []
            case CancelAsked(force):
                return self._cancelled(force=force)
            case OrderExpired():
                return self._abandon(self._expired()) if at.step in HARMLESS else []

    def wait(self, now: int) -> Reason | None:
        """What the job waits for besides its turn; None when it may begin, or has."""
        at = self.snapshot
        if at.step not in RESTING:
            return None
        if now < at.again and at.failed is not None:
            error = f"{at.failed.code} {at.failed.detail}".strip()
            return because("retry.pause", attempt=at.attempt, error=error, until=at.again)
        if self._held is not None:
            return self._held
        if at.step is Step.WAIT and at.type == INSTALL:
            return self._judged.fetch or self.gate.before_transfer(now)
        return self.wait_to_begin(now)

    @property
    def sending_ends(self) -> int | None:
        """When the way here has taken as long as it may, in milliseconds since 1970; None where nothing says."""
        at, limit = self.snapshot, self.gate.times.send_timeout_s
        return at.sending + limit * 1000 if limit and at.sending and at.step in SENDING else None

    def wait_to_begin(self, now: int) -> Reason | None:
        """Why an installation may not begin."""
        return self._judged.install or self.gate.before_installation(now, self._happened, self._running)

    # -- what each event means ---------------------------------------------------------------------

    def _turn(self, now: int) -> list[Command]:
        if (wait := self.wait(now)) is not None:
            return self._rest(wait)
        at = self.snapshot
        if at.step is Step.WAIT and at.type == INSTALL:
            self.snapshot = replace(at, sending=now)
            return self._go(Step.PLAN)
        self.snapshot = replace(at, begun=now, decided=self._judged.values)
        return self._go(FIRST[at.type] if at.step is Step.WAIT else self._first_of_installation())

    def _look(self, now: int) -> list[Command]:
        if (wait := self.wait(now)) is not None:
            return self._rest(wait)
        told, self._told = self._told, None
        if told is None:
            return [Seek()]
        # What it waited for came; that it waits for its turn now is told, or the old reason would stand.
        step = self.snapshot.step
        turn = because("hold") if step is Step.HOLD else because("turn")
        return [Tell(STATE_OF[step], *packed(turn)), Seek()]

    def _rest(self, wait: Reason) -> list[Command]:
        """Give the turn back, and say why, once."""
        told, self._told = self._told, wait
        same = told is not None and (told.code, told.until) == (wait.code, wait.until)
        # What facts and the owner say is told anew with its figures; those of times change with the clock.
        same &= wait not in {self._judged.fetch, self._judged.install} or told == wait
        tell = [] if same else [Tell(STATE_OF[self.snapshot.step], *packed(wait))]
        return [*tell, Rest(wait.until)]

    def _recovered(self, now: int) -> list[Command]:  # noqa: PLR0911 - one per kind of step
        at = self.snapshot
        if at.step not in PREPARING and (at.step is not Step.WAIT or at.type != INSTALL):
            # What waits for the agent's start has it: it was prepared before.
            self._happened |= {START}
        if at.step in RESTING:
            return self._look(now)
        if at.step is Step.END:
            return [Finish(self._outcome())]
        if at.step is Step.RESTART:
            return self._go(Step.END)  # this life is the restart
        if at.step in PROGRAMS and not (at.plan.after if at.step is Step.AFTER else at.plan.before):
            which = PROGRAMS[at.step]
            said = f"{which[0].upper()}{which[1:]} was started and not seen to finish; it is not idempotent, so it was"
            outcome = Outcome("interrupted", "program.interrupted", f"{said} not run again.")
            return self._go(back_from(at.step, at.plan), outcome)
        if at.step is Step.BEFORE and not at.cancel:
            # Nothing but that program was begun, and it may be begun again: when the gate is open.
            return self._ready(now)
        if at.step is Step.RUN and self.wait_to_begin(now) is not None:
            return self._go(Step.STOP)
        return [Tell(STATE_OF[at.step]), Perform(at.step)]

    def _done(self, event: StepDone, now: int) -> list[Command]:  # noqa: C901, PLR0911, PLR0912 - one line per step: the table
        at = self.snapshot
        if event.plan is not None:
            self.snapshot = at = replace(at, plan=event.plan)
        match at.step:
            case Step.PLAN if at.plan.current:
                # DISCARD takes away the chunks that were fetched to find this out.
                return self._go(Step.DISCARD, Outcome("done", "unchanged", "This version was installed already."))
            case Step.PLAN:
                return self._ready(now) if at.plan.ready else self._go(Step.FETCH)
            case Step.FETCH:
                return self._go(Step.ASSEMBLE)
            case Step.ASSEMBLE:
                return self._ready(now)
            case Step.BEFORE if at.cancel:
                return self._go(Step.DISCARD, Outcome("cancelled", "cancelled", "Cancelled after run-before had run."))
            case Step.BEFORE:
                return self._go(Step.SWITCH)
            case Step.SWITCH if at.plan.actions:
                return self._go(Step.APPLY)
            case Step.SWITCH | Step.APPLY:
                return self._go(Step.SETTLE if at.plan.after is None else Step.AFTER)
            case Step.REVERT | Step.TAKE:
                return self._go(Step.UNDO if at.step is Step.REVERT else Step.UNLINK)
            case Step.AFTER:
                return self._go(Step.SETTLE)
            case Step.UNDO if at.outcome is None:
                if at.cancel:
                    return self._go(Step.DISCARD, Outcome("cancelled", "cancelled", "Cancelled before the next try."))
                return self._ready(now)
            case Step.UNDO:
                return self._go(Step.DISCARD)
            case Step.STOP if at.outcome is None and at.cancel:
                return self._go(Step.END, Outcome("cancelled", "cancelled", "Cancelled before the next try."))
            case Step.STOP if at.outcome is None:
                self.snapshot = replace(at, step=Step.WAIT)
                return [Record(self.snapshot), *self._look(now)]
            case Step.RUN | Step.KEEP:
                return self._go(Step.END, Outcome("done", event.code, event.detail))
            case Step.UNLINK:
                self.snapshot = replace(at, outcome=Outcome("done", event.code, event.detail))
                return self._go(Step.DELETE)
            case _:
                return self._go(Step.END)

    def _failed(self, event: StepFailed, now: int) -> list[Command]:
        at = self.snapshot
        step = at.step
        outcome = Outcome(event.state, event.code, event.detail)
        if step is Step.STOP and at.outcome is None:
            outcome = at.failed or outcome
        elif step in {Step.SETTLE, Step.DISCARD, Step.DELETE, Step.STOP}:
            # The new state stands (or the old one does); what is left behind is swept at the next start.
            outcome = replace(self._outcome(), code=self._outcome().code or event.code)
        elif step in {Step.REVERT, Step.UNDO}:
            was = at.outcome or at.failed or outcome
            outcome = Outcome(was.state, "undo.failed", f"{was.detail} {event.detail}".strip())
            self.snapshot = replace(at, outcome=outcome)
        elif at.cancel and step is Step.BEFORE:
            outcome = Outcome("cancelled", "cancelled", f"Cancelled while run-before ran, which failed: {event.detail}")
        elif (again := self._again(outcome, now)) is not None:
            return again
        return self._go(back_from(step, at.plan), outcome)

    def _send_late(self, now: int) -> list[Command]:
        if (ends := self.sending_ends) is None or now < ends:
            return []
        step, limit = self.snapshot.step, self.gate.times.send_timeout_s
        late = StepFailed(step, "send.timeout", f"It was not all here within {limit:,} s.")
        return [Abort(step), *self._failed(late, now)]

    def _again(self, outcome: Outcome, now: int) -> list[Command] | None:
        """Back to where the next try begins, if there is one after this failure."""
        at, times = self.snapshot, self.gate.times
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
        self.snapshot = replace(after, again=now + pause, failed=outcome)
        if at.step in {Step.SWITCH, Step.APPLY, Step.AFTER, Step.RUN}:
            return self._go(back_from(at.step, at.plan))
        self.snapshot = replace(self.snapshot, step=to)
        return [Record(self.snapshot), *self._look(now)]

    def _cancelled(self, *, force: bool) -> list[Command]:
        at = self.snapshot
        if at.step in HARMLESS:
            return self._abandon(Outcome("cancelled", "cancelled", "Cancelled before anything was changed."))
        if force and at.step in PROGRAMS:
            outcome = Outcome("cancelled", "cancel.forced", f"Cancelled by force: {PROGRAMS[at.step]} was killed.")
            return [Abort(at.step), *self._go(back_from(at.step, at.plan), outcome)]
        waits = at.step is Step.BEFORE or (at.step in {Step.REVERT, Step.UNDO, Step.STOP} and at.outcome is None)
        if waits and not at.cancel:
            # The program is let end: it may not be safe to stop, and what follows is in our hands.
            self.snapshot = replace(at, cancel=True)
            return [Record(self.snapshot)]
        return []

    def _expired(self) -> Outcome:
        failed = self.snapshot.failed
        last = f" {_said(failed)}" if failed is not None else ""
        return Outcome("expired", "order.expired", f"The order's time passed before it could be carried out.{last}")

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
            self.snapshot = replace(self.snapshot, begun=now, decided=self._judged.values)
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
        self._told = None
        self.snapshot = replace(before, step=step, outcome=kept)
        commands: list[Command] = [Record(self.snapshot)]
        if step is Step.END:
            return [*commands, Finish(self._outcome())]
        if STATE_OF[step] != STATE_OF.get(before.step):
            commands.append(Tell(STATE_OF[step]))
        return [*commands, Perform(step)]


def _said(failed: Outcome) -> str:
    return f"the last one failed: {failed.code} {failed.detail}".strip()
