"""The words of one job's machine: its steps, and what the journal keeps of it; its events and commands are `events`.

Rules
- The texts of steps, and the names of a snapshot's fields, stand in journals: never rename one; a new field has a
  default.
- Tables here say what a step is; what follows on it is for the machine (`install.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from tiercast_protocol.content.jobs import power


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
    ENTER = "enter"  #: write down that the new version stands; the old one stays
    REBOOT = "reboot"  #: until the machine was restarted
    CONFIRM = "confirm"  #: the package's health program, until it confirms
    STAND = "stand"  #: committed, confirmed or not: waits to be accepted, or for its turn
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
    VERIFY = "verify"  #: compare what is installed with what was sealed
    LOOK = "look"  #: an inventory: look at the machine and say what it is
    RESTART = "restart"  #: a restart of the agent
    END = "end"


INSTALL, REMOVE, RUN, MESSAGE, RESTART = "install", "remove", "run", "message", "restart"
INVENTORY, VERIFY = "inventory", "verify"
#: What a job of each type begins with.
FIRST = {
    INSTALL: Step.PLAN,
    REMOVE: Step.TAKE,
    VERIFY: Step.VERIFY,
    RUN: Step.RUN,
    MESSAGE: Step.KEEP,
    INVENTORY: Step.LOOK,
    RESTART: Step.RESTART,
    **dict.fromkeys(power.TYPES, Step.RUN),
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
    Step.ENTER: "installing",
    Step.REBOOT: "installing",
    Step.CONFIRM: "installing",
    Step.STAND: "installing",
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
    Step.VERIFY: "running",
    Step.LOOK: "running",
    Step.RESTART: "running",
}

#: Steps during which nothing but staging was touched: here a cancel or the order's expiry still counts.
HARMLESS = frozenset({Step.WAIT, Step.PLAN, Step.FETCH, Step.ASSEMBLE, Step.HOLD})
#: Nothing is performed here: the job may lie here for weeks, and others of its package go before it.
RESTING = frozenset({Step.WAIT, Step.HOLD, Step.STAND})
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
    # These by way of `REVERT` where the package has actions.
    Step.AFTER: Step.UNDO,
    Step.ENTER: Step.UNDO,
    Step.REBOOT: Step.UNDO,
    Step.CONFIRM: Step.UNDO,
    Step.STAND: Step.UNDO,
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
    Step.VERIFY: Step.END,
    Step.LOOK: Step.END,
    Step.RESTART: Step.END,
}


#: Steps after the package's actions.
_APPLIED = frozenset({Step.AFTER, Step.ENTER, Step.REBOOT, Step.CONFIRM, Step.STAND})


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
        reboot: how the machine is restarted before it goes on (`content.reboots`); "" is not.
        confirm: whether the package has a health program that must confirm it.
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
    confirm: bool = False
    reboot: str = ""

    @property
    def on_trial(self) -> bool:
        """Whether the new version stands for a while before it is settled, so that other jobs may come between."""
        return self.confirm or bool(self.reboot)


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
        phase: how far it is to go, one of `phases.STEPS`; "" to its end, as a job in one phase.
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
    phase: str = ""

    @property
    def attempt(self) -> int:
        """The number of the present try, from 1."""
        return 1 + self.tried + self.installed


def back_from(step: Step, plan: Plan) -> Step:
    """Where a failure at `step` leads: what was done is taken back in reverse order."""
    return Step.REVERT if plan.actions and step in _APPLIED else ON_FAILURE[step]
