"""What happens to one job, and what its machine commands (`install`).

Rules
- Events are past tense, commands imperative; a late answer is an event like any other.
- Nothing here is kept: what the journal keeps is in `story`.
"""

from __future__ import annotations

from dataclasses import dataclass

from tiercast_endpoint.jobs.story import Outcome, Plan, Snapshot, Step
from tiercast_protocol.content.jobs.reason import Reason

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
    """The step was performed; `plan` comes with `Step.PLAN`.  `code` is a remark for the outcome.

    `superseded`: the name leads to what another job put there meanwhile, so there was nothing to take back or to keep.
    """

    step: Step
    plan: Plan | None = None
    code: str = ""
    detail: str = ""
    superseded: bool = False


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
class StepOrdered:
    """An order says how far the job is to go (`content.phases.STEPS`); it may have been said before."""

    step: str


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
    | StepOrdered
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
