"""One job on one endpoint, as a pure machine (docs/on-the-endpoint.md).

Rules
- A step is journaled (`Record`) before it is performed, and its end before the next one starts.  So after
  any crash the journal names the only step that may be half done.
- Every step but the two programs may be performed again.  A program that was started and not seen to
  finish is `interrupted`, unless it declared itself idempotent.
- Up to `Step.SWITCH` the old version stands untouched; from there on the job either settles on the new one or
  undoes the switch.  A cancel or expiry that comes later than that is too late, and changes nothing.
- There is exactly one outcome, and once there is one it is never exchanged for another.
- A late answer (of a step that is no longer the present one) returns no commands.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum


class Step(StrEnum):
    """What a job is at.  The texts stand in the journal: never rename one."""

    WAIT = "wait"  #: another job of this package is before it
    PLAN = "plan"  #: fetch root and lists, look at what is held, reckon the space
    FETCH = "fetch"  #: fetch the chunks that are missing
    ASSEMBLE = "assemble"  #: build the tree in staging, synced
    BEFORE = "before"  #: run-before
    SWITCH = "switch"  #: one rename
    AFTER = "after"  #: run-after
    UNDO = "undo"  #: rename back
    SETTLE = "settle"  #: index the new tree, drop what is older than the previous one
    DISCARD = "discard"  #: take away what was staged
    UNLINK = "unlink"  #: a removal: take the name away
    DELETE = "delete"  #: a removal: delete the trees
    END = "end"


INSTALL, REMOVE = "install", "remove"

#: What `content.receipt.STATES` calls a step.
STATE_OF: dict[Step, str] = {
    Step.WAIT: "waiting",
    Step.PLAN: "fetching",
    Step.FETCH: "fetching",
    Step.ASSEMBLE: "staged",
    Step.BEFORE: "installing",
    Step.SWITCH: "installing",
    Step.AFTER: "installing",
    Step.UNDO: "installing",
    Step.SETTLE: "installing",
    Step.DISCARD: "installing",
    Step.UNLINK: "removing",
    Step.DELETE: "removing",
}

#: Steps during which nothing but staging was touched: here a cancel or the order's expiry still counts.
HARMLESS = frozenset({Step.WAIT, Step.PLAN, Step.FETCH, Step.ASSEMBLE})
PROGRAMS = frozenset({Step.BEFORE, Step.AFTER})

#: Where a failed step leads.  `END` stands for steps whose failure leaves nothing to take back.
ON_FAILURE: dict[Step, Step] = {
    Step.WAIT: Step.END,
    Step.PLAN: Step.DISCARD,
    Step.FETCH: Step.DISCARD,
    Step.ASSEMBLE: Step.DISCARD,
    Step.BEFORE: Step.DISCARD,
    Step.SWITCH: Step.UNDO,
    Step.AFTER: Step.UNDO,
    # The switch could not be taken back: the new tree may be in use, so nothing is discarded.
    Step.UNDO: Step.END,
    Step.SETTLE: Step.END,
    Step.DISCARD: Step.END,
    Step.UNLINK: Step.END,
    Step.DELETE: Step.END,
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a job ended: a final state of `receipt.STATES`, a stable code and a sentence."""

    state: str
    code: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """What the planning step found out; `None` where the package has no such program.

    Attributes:
        ready: the tree stands already, whole and verified: nothing to fetch or assemble.
        current: and the name leads to it already: nothing to do at all.
        before: whether run-before is idempotent.
        after: whether run-after is idempotent.
    """

    ready: bool = False
    current: bool = False
    before: bool | None = None
    after: bool | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that the journal keeps of the machine."""

    type: str
    step: Step = Step.WAIT
    plan: Plan = Plan()
    cancel: bool = False
    outcome: Outcome | None = None


# == events ============================================================================================


@dataclass(frozen=True, slots=True)
class TurnCame:
    """No other job of this package is before this one."""


@dataclass(frozen=True, slots=True)
class Recovered:
    """The daemon started again; the journal's last snapshot is the machine's."""


@dataclass(frozen=True, slots=True)
class StepDone:
    """The step was performed; `plan` comes with `Step.PLAN`.  `code` is a remark for the outcome."""

    step: Step
    plan: Plan | None = None
    code: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class StepFailed:
    """The step (or the program of that step) failed."""

    step: Step
    code: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class CancelAsked:
    """A cancel order for this job was accepted."""


@dataclass(frozen=True, slots=True)
class OrderExpired:
    """The order's last instant has passed."""


Event = TurnCame | Recovered | StepDone | StepFailed | CancelAsked | OrderExpired


# == commands ==========================================================================================


@dataclass(frozen=True, slots=True)
class Record:
    """Journal the snapshot, synced, before any command after this one."""

    snapshot: Snapshot


@dataclass(frozen=True, slots=True)
class Tell:
    """Report this state upward."""

    state: str


@dataclass(frozen=True, slots=True)
class Abort:
    """Stop performing the step and wait until it has stopped; its answer no longer counts."""

    step: Step


@dataclass(frozen=True, slots=True)
class Perform:
    """Perform the step; answer `StepDone` or `StepFailed`."""

    step: Step


@dataclass(frozen=True, slots=True)
class Finish:
    """The job is over: sign the receipt and report it, unless that was done before the crash."""

    outcome: Outcome


Command = Record | Tell | Abort | Perform | Finish


class Install:
    """The machine of one job.

    Args:
        snapshot: a new job's (`Snapshot("install")`) or the journal's last.
    """

    def __init__(self, snapshot: Snapshot) -> None:
        if snapshot.type not in {INSTALL, REMOVE}:
            raise ValueError(f"no machine for a job of type {snapshot.type!r}")
        self.snapshot = snapshot

    def handle(self, event: Event) -> list[Command]:
        """What to do, in order, now that `event` happened."""
        match event:
            case TurnCame():
                return self._go(self._first()) if self.snapshot.step is Step.WAIT else []
            case Recovered():
                return self._recovered()
            case StepDone():
                return self._done(event) if event.step is self.snapshot.step else []
            case StepFailed():
                return self._failed(event) if event.step is self.snapshot.step else []
            case CancelAsked():
                return self._cancelled()
            case OrderExpired():
                outcome = Outcome("expired", "order.expired", "The order's time passed before it could be carried out.")
                return self._abandon(outcome) if self.snapshot.step in HARMLESS else []

    # -- what each event means ---------------------------------------------------------------------

    def _first(self) -> Step:
        return Step.PLAN if self.snapshot.type == INSTALL else Step.UNLINK

    def _recovered(self) -> list[Command]:
        at = self.snapshot
        if at.step is Step.WAIT:
            return []  # its turn comes again
        if at.step is Step.END:
            return [Finish(self._outcome())]
        if at.step in PROGRAMS and not (at.plan.before if at.step is Step.BEFORE else at.plan.after):
            which = "run-before" if at.step is Step.BEFORE else "run-after"
            return self._go(
                ON_FAILURE[at.step],
                Outcome(
                    "interrupted",
                    "program.interrupted",
                    f"{which} was started and not seen to finish; it is not idempotent, so it was not run again.",
                ),
            )
        return [Tell(STATE_OF[at.step]), Perform(at.step)]

    def _done(self, event: StepDone) -> list[Command]:  # noqa: C901, PLR0911 - one line per step: the table of the machine
        at = self.snapshot
        if event.plan is not None:
            self.snapshot = at = replace(at, plan=event.plan)
        match at.step:
            case Step.PLAN if at.plan.current:
                # DISCARD takes away the chunks that were fetched to find this out.
                return self._go(Step.DISCARD, Outcome("done", "unchanged", "This version was installed already."))
            case Step.PLAN:
                return self._go(self._after_staging() if at.plan.ready else Step.FETCH)
            case Step.FETCH:
                return self._go(Step.ASSEMBLE)
            case Step.ASSEMBLE:
                return self._go(self._after_staging())
            case Step.BEFORE if at.cancel:
                return self._go(Step.DISCARD, Outcome("cancelled", "cancelled", "Cancelled after run-before had run."))
            case Step.BEFORE:
                return self._go(Step.SWITCH)
            case Step.SWITCH:
                return self._go(Step.SETTLE if at.plan.after is None else Step.AFTER)
            case Step.AFTER:
                return self._go(Step.SETTLE)
            case Step.UNDO:
                return self._go(Step.DISCARD)
            case Step.UNLINK:
                self.snapshot = replace(at, outcome=Outcome("done", event.code, event.detail))
                return self._go(Step.DELETE)
            case _:
                return self._go(Step.END)

    def _failed(self, event: StepFailed) -> list[Command]:
        step = self.snapshot.step
        outcome = Outcome("failed", event.code, event.detail)
        if step in {Step.SETTLE, Step.DISCARD, Step.DELETE}:
            # The new state stands (or the old one does); what is left behind is swept at the next start.
            outcome = replace(self._outcome(), code=self._outcome().code or event.code)
        elif step is Step.UNDO:
            outcome = Outcome(self._outcome().state, "undo.failed", f"{self._outcome().detail} {event.detail}".strip())
            self.snapshot = replace(self.snapshot, outcome=outcome)
        elif self.snapshot.cancel and step is Step.BEFORE:
            outcome = Outcome("cancelled", "cancelled", f"Cancelled while run-before ran, which failed: {event.detail}")
        return self._go(ON_FAILURE[step], outcome)

    def _cancelled(self) -> list[Command]:
        at = self.snapshot
        if at.step in HARMLESS:
            return self._abandon(Outcome("cancelled", "cancelled", "Cancelled before anything was changed."))
        if at.step is Step.BEFORE and not at.cancel:
            # The program is let end: it may not be safe to stop, and what follows is in our hands.
            self.snapshot = replace(at, cancel=True)
            return [Record(self.snapshot)]
        return []

    def _abandon(self, outcome: Outcome) -> list[Command]:
        step = self.snapshot.step
        if step is Step.WAIT:
            return self._go(Step.END, outcome)
        return [Abort(step), *self._go(Step.DISCARD, outcome)]

    # -- moving on ---------------------------------------------------------------------------------

    def _after_staging(self) -> Step:
        return Step.SWITCH if self.snapshot.plan.before is None else Step.BEFORE

    def _outcome(self) -> Outcome:
        return self.snapshot.outcome or Outcome("done")

    def _go(self, step: Step, outcome: Outcome | None = None) -> list[Command]:
        before = self.snapshot
        kept = before.outcome or outcome
        if step is Step.END and kept is None:
            kept = Outcome("done")
        self.snapshot = replace(before, step=step, outcome=kept)
        commands: list[Command] = [Record(self.snapshot)]
        if step is Step.END:
            return [*commands, Finish(self._outcome())]
        if STATE_OF[step] != STATE_OF.get(before.step):
            commands.append(Tell(STATE_OF[step]))
        return [*commands, Perform(step)]
