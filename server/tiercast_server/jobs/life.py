"""The life of one job, as a pure machine.

    open --all targets final--> done | failed | expired | cancelled

Rules
- A job is open while any target is; its closing state is computed from the counts of its targets and
  from nothing else, so a receipt that comes late corrects it.
- Cancelling is an order of the next revision, to all open targets or to some: those that were ordered answer for
  themselves, those that never were are closed at once.
- At expiry (and a grace for receipts under way) the region closes what never answered.
- Nodes may become targets until the job expires or is cancelled: a job on a group follows it.  That alone opens a
  closed job again; else it issues no order any more.  What a gateway decided while it was cut off happened, whatever
  the job came to meanwhile: where that was a cancel, it is told so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from tiercast_protocol.content.jobs.receipt import STATES

JobState = Literal["open", "done", "failed", "cancelled", "expired"]

#: Milliseconds after expiry in which receipts that are under way still come in before the region closes.
GRACE_MS = 30_000


@dataclass(frozen=True, slots=True)
class Counted:
    """The job's targets were counted by state."""

    counts: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class CancelAsked:
    """An administrator asked for it: for the whole job, or for `nodes`; `force` does not wait for programs that run."""

    nodes: tuple[str, ...] = ()
    force: bool = False


@dataclass(frozen=True, slots=True)
class TargetJoined:
    """A target got a (new) key, so no order so far names it."""

    node: str


@dataclass(frozen=True, slots=True)
class TargetsAdded:
    """These became targets later than the others, because they joined what the job is for."""

    nodes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TargetsTaken:
    """A gateway made these targets, and has ordered them already."""

    nodes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TimePassed:
    """Nothing happened; look at the clock."""


Event: TypeAlias = Counted | CancelAsked | TargetJoined | TargetsAdded | TargetsTaken | TimePassed


@dataclass(frozen=True, slots=True)
class Order:
    """Sign and hand over an order of the next revision: `nodes`, or all open targets where empty."""

    type: Literal["same", "cancel"]
    nodes: tuple[str, ...] = ()
    force: bool = False


@dataclass(frozen=True, slots=True)
class CloseTargets:
    """Conclude `state` for open targets: only those never ordered, or every one; only `nodes`, if there are any."""

    state: str
    code: str
    detail: str
    never_ordered: bool
    nodes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Close:
    """The job's state is `state` from now on."""

    state: JobState


@dataclass(frozen=True, slots=True)
class Reopen:
    """The job is open from now on, as it was before it was closed."""


@dataclass(frozen=True, slots=True)
class WakeAt:
    """Say `TimePassed` at `at` (milliseconds since 1970)."""

    at: int


Command: TypeAlias = Order | CloseTargets | Close | Reopen | WakeAt


def closing_state(counts: Mapping[str, int]) -> JobState:
    """What a job with these targets is: the worst end wins, and one open target keeps it open."""
    states = {state for state, count in counts.items() if count}
    if any(not STATES[state] for state in states):
        return "open"
    if states & {"failed", "interrupted", "rejected"}:
        return "failed"
    if "expired" in states:
        return "expired"
    return "cancelled" if "cancelled" in states else "done"


@dataclass(slots=True)
class JobLife:
    """One job.  `expires` in milliseconds since 1970."""

    expires: int
    state: JobState = "open"
    cancelling: bool = False

    def handle(self, event: Event, *, now: int) -> list[Command]:
        """What to do after `event`."""
        match event:
            case Counted(counts):
                return self._counted(counts)
            case CancelAsked():
                return self._cancel(event)
            case TargetJoined(node):
                wanted = self.state == "open" and not self.cancelling and now < self.expires
                return [Order("same", (node,))] if wanted else []
            case TargetsAdded(nodes):
                return self._added(nodes, now)
            case TargetsTaken(nodes):
                return self._taken(nodes)
            case TimePassed():
                return self._time(now)

    def _counted(self, counts: Mapping[str, int]) -> list[Command]:
        state = closing_state(counts)
        if state in {"open", self.state}:
            return []
        self.state = state
        return [Close(state)]

    def takes_more(self, now: int) -> bool:
        """Whether nodes may still become targets."""
        return self.state != "expired" and not self.cancelling and now < self.expires

    def _added(self, nodes: tuple[str, ...], now: int) -> list[Command]:
        if not self.takes_more(now):
            return []
        reopened: list[Command] = [] if self.state == "open" else [Reopen()]
        self.state = "open"
        return [*reopened, Order("same", nodes)]

    def _taken(self, nodes: tuple[str, ...]) -> list[Command]:
        reopened: list[Command] = [] if self.state == "open" else [Reopen()]
        over = self.cancelling or self.state == "cancelled"
        self.state = "open"
        return [*reopened, *([Order("cancel", nodes)] if over else [])]

    def _cancel(self, asked: CancelAsked) -> list[Command]:
        again = self.cancelling and not asked.force and not asked.nodes
        if self.state != "open" or again:
            return []
        # One that is for some targets leaves the job open to whoever joins the others.
        self.cancelling = self.cancelling or not asked.nodes
        detail = "cancelled before it was ordered"
        closing = CloseTargets("cancelled", "job.cancelled", detail, never_ordered=True, nodes=asked.nodes)
        return [closing, Order("cancel", asked.nodes, asked.force)]

    def _time(self, now: int) -> list[Command]:
        if self.state != "open":
            return []
        end = self.expires + GRACE_MS
        if now < end:
            return [WakeAt(end)]
        detail = "no result came before the job expired"
        return [CloseTargets("expired", "job.expired", detail, never_ordered=False)]
