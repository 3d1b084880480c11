"""The words of one job's machine: its steps, what the journal keeps of it, its events and its commands.

Rules
- The texts of steps, and the names of a snapshot's fields, stand in journals: never rename one; a new field has a
  default.
- Tables here say what a step is; what follows on it is for the machine (`install.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from tiercast_protocol.content.reason import Reason


class Step(StrEnum):
    """What a job is at.  The texts stand in the journal: never rename one."""

    WAIT = "wait"  #: another job of this package is before it
    PLAN = "plan"  #: fetch root and lists, look at what is held, reckon the space
    FETCH = "fetch"  #: fetch the chunks that are missing
    ASSEMBLE = "assemble"  #: build the tree in staging, synced
    HOLD = "hold"  #: prepared; waits for its time
    BEFORE = "before"  #: run-before
    SWITCH = "switch"  #: one rename
    APPLY = "apply"  #: the package's ordered actions
    AFTER = "after"  #: run-after
    REVERT = "revert"  #: what the actions did is taken back, the last one first
    UNDO = "undo"  #: rename back
    SETTLE = "settle"  #: index the new tree, drop what is older than the previous one
    DISCARD = "discard"  #: take away what was staged
    TAKE = "take"  #: a removal: take back what the installed version's actions did
    UNLINK = "unlink"  #: a removal: take the name away
    DELETE = "delete"  #: a removal: delete the trees
    RUN = "run"  #: a job to run a program
    STOP = "stop"  #: and to end what is left of it
    KEEP = "keep"  #: a message: keep it
    LOOK = "look"  #: an inventory: look at the machine and say what it is
    RESTART = "restart"  #: a restart of the agent
    END = "end"


INSTALL, REMOVE, RUN, MESSAGE, RESTART = "install", "remove", "run", "message", "restart"
INVENTORY = "inventory"
#: What a job of each type begins with.
FIRST = {
    INSTALL: Step.PLAN,
    REMOVE: Step.TAKE,
    RUN: Step.RUN,
    MESSAGE: Step.KEEP,
    INVENTORY: Step.LOOK,
    RESTART: Step.RESTART,
}

#: What `content.receipt.STATES` calls a step.
STATE_OF: dict[Step, str] = {
    Step.WAIT: "waiting",
    Step.PLAN: "fetching",
    Step.FETCH: "fetching",
    Step.ASSEMBLE: "staged",
    Step.HOLD: "staged",
    Step.BEFORE: "installing",
    Step.SWITCH: "installing",
    Step.APPLY: "installing",
    Step.AFTER: "installing",
    Step.REVERT: "installing",
    Step.UNDO: "installing",
    Step.SETTLE: "installing",
    Step.DISCARD: "installing",
    Step.TAKE: "removing",
    Step.UNLINK: "removing",
    Step.DELETE: "removing",
    Step.RUN: "running",
    Step.STOP: "running",
    Step.KEEP: "running",
    Step.LOOK: "running",
    Step.RESTART: "running",
}

#: Steps during which nothing but staging was touched: here a cancel or the order's expiry still counts.
HARMLESS = frozenset({Step.WAIT, Step.PLAN, Step.FETCH, Step.ASSEMBLE, Step.HOLD})
#: Nothing is performed here: the job may lie here for weeks, and others of its package go before it.
RESTING = frozenset({Step.WAIT, Step.HOLD})
#: Steps that belong to the way here, and to the installation, as far as they are tried again.
PREPARING = frozenset({Step.PLAN, Step.FETCH, Step.ASSEMBLE})
INSTALLING = frozenset({Step.BEFORE, Step.SWITCH, Step.APPLY, Step.AFTER, Step.RUN})
#: Of these, the ones that wait for what comes over links: the order may limit them.
SENDING = frozenset({Step.PLAN, Step.FETCH})
#: Steps that run a program, and what a person calls it.
PROGRAMS = {Step.BEFORE: "run-before", Step.AFTER: "run-after", Step.RUN: "the program"}

#: Where a failed step leads.  `END` stands for steps whose failure leaves nothing to take back.
ON_FAILURE: dict[Step, Step] = {
    Step.WAIT: Step.END,
    Step.PLAN: Step.DISCARD,
    Step.FETCH: Step.DISCARD,
    Step.ASSEMBLE: Step.DISCARD,
    Step.HOLD: Step.DISCARD,
    Step.BEFORE: Step.DISCARD,
    Step.SWITCH: Step.UNDO,
    Step.APPLY: Step.REVERT,
    # By way of `REVERT` where the package has actions.
    Step.AFTER: Step.UNDO,
    # What could not be taken back is told; the tree goes back all the same.
    Step.REVERT: Step.UNDO,
    # The switch could not be taken back: the new tree may be in use, so nothing is discarded.
    Step.UNDO: Step.END,
    Step.SETTLE: Step.END,
    Step.DISCARD: Step.END,
    Step.TAKE: Step.END,
    Step.UNLINK: Step.END,
    Step.DELETE: Step.END,
    Step.RUN: Step.STOP,
    Step.STOP: Step.END,
    Step.KEEP: Step.END,
    Step.LOOK: Step.END,
    Step.RESTART: Step.END,
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
        before: whether run-before is idempotent; of a job to run a program, whether that is.
        after: whether run-after is idempotent.
        condition, requires, conflicts, ahead, order, replace: as the package's sealed definition says them.
        actions: whether this version has ordered actions, or the one that it replaces has.
    """

    ready: bool = False
    current: bool = False
    before: bool | None = None
    after: bool | None = None
    condition: str = ""
    requires: str = ""
    conflicts: str = ""
    ahead: str = ""
    order: str = ""
    replace: str = ""
    actions: bool = False


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that the journal keeps of the machine.

    Attributes:
        begun: when the installation began, in milliseconds since 1970.
        tried, installed: tries that failed, of the way here and of the installation.
        again: no try before.
        sending: when the present try of the way here began, in milliseconds since 1970.
        failed: how the last of them ended.
        decided: the values for which it began, and what else its receipt is to say of that.
    """

    type: str
    step: Step = Step.WAIT
    plan: Plan = Plan()
    cancel: bool = False
    outcome: Outcome | None = None
    begun: int = 0
    tried: int = 0
    installed: int = 0
    again: int = 0
    failed: Outcome | None = None
    decided: str = ""
    sending: int = 0

    @property
    def attempt(self) -> int:
        """The number of the present try, from 1."""
        return 1 + self.tried + self.installed


# == events ============================================================================================


@dataclass(frozen=True, slots=True)
class TurnCame:
    """No other job of this package is before this one."""


@dataclass(frozen=True, slots=True)
class TimeCame:
    """The moment of `Rest` came, or the clock was set, or it is just time to look."""


@dataclass(frozen=True, slots=True)
class Running:
    """What was seen of the programs during which it is not to be installed: one that runs, or ""."""

    app: str


@dataclass(frozen=True, slots=True)
class HeldBack:
    """The parent has jobs like this one wait, for this reason; None: not any more."""

    reason: Reason | None


@dataclass(frozen=True, slots=True)
class Judged:
    """What the machine's facts and its owner say now.

    Attributes:
        fetch: why nothing of it may be fetched.
        install: why it may not be installed, or carried out.
        end: how it ends because of them.
        values: those that let it begin, and what else of it its receipt is to say.
    """

    fetch: Reason | None = None
    install: Reason | None = None
    end: Outcome | None = None
    values: str = ""


@dataclass(frozen=True, slots=True)
class Stopping:
    """The agent is being stopped: what was to wait for that may begin."""


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
    """The step (or the program of that step) failed; `state` is the final state that this leads to."""

    step: Step
    code: str
    detail: str = ""
    state: str = "failed"


@dataclass(frozen=True, slots=True)
class CancelAsked:
    """A cancel order for this job was accepted; `force` does not wait for programs that run."""

    force: bool = False


@dataclass(frozen=True, slots=True)
class OrderExpired:
    """The order's last instant has passed."""


@dataclass(frozen=True, slots=True)
class SendingLate:
    """The time that the order gives to the way here may be over."""


Event = (
    SendingLate
    | TurnCame
    | TimeCame
    | Running
    | HeldBack
    | Judged
    | Stopping
    | Recovered
    | StepDone
    | StepFailed
    | CancelAsked
    | OrderExpired
)


# == commands ==========================================================================================


@dataclass(frozen=True, slots=True)
class Record:
    """Journal the snapshot, synced, before any command after this one."""

    snapshot: Snapshot


@dataclass(frozen=True, slots=True)
class Tell:
    """Report this state upward, and what it waits for."""

    state: str
    code: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Rest:
    """Give the turn back; say `TimeCame` at `until` (milliseconds since 1970, 0 for when nobody knows)."""

    until: int = 0


@dataclass(frozen=True, slots=True)
class Seek:
    """Ask for a turn: `TurnCame` is the answer."""


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


Command = Record | Tell | Rest | Seek | Abort | Perform | Finish


def prepared(event: object) -> bool:
    """Whether this was the last step before an installation, which is to begin now if its time has come."""
    if not isinstance(event, StepDone):
        return False
    standing = event.plan is not None and event.plan.ready and not event.plan.current
    return event.step is Step.ASSEMBLE or standing


def back_from(step: Step, plan: Plan) -> Step:
    """Where a failure at `step` leads: what was done is taken back in reverse order."""
    return Step.REVERT if step is Step.AFTER and plan.actions else ON_FAILURE[step]
