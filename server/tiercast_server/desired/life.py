"""One assignment, as a pure machine: which of its machines get a job, and when again.

Rules (docs/desired-state.md)
- Of one machine at most one job is open: none is ordered while any job about the package is open there.
- What failed is tried again after a pause that doubles, `MOST` times; then a person must say so.  A machine that came
  undone again within `SETTLED_MS` counts as one that failed, so that a fight with something else ends.
- A job that a person cancelled, or the machine's owner rejected, is not ordered again before a person says so; one
  that expired reached nobody, and is.
- Nothing is ordered where it is not known what stands, nor where no version would do for all assignments of a machine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

#: Failures after which a machine is left alone.
MOST = 6
#: Milliseconds before the second try; doubled each time, up to the longest.
PAUSE_MS, LONGEST_MS = 60_000, 3_600_000
#: Codes of rejections that are the owner's word begin so.
_BY_PERSON = ("owner.", "offer.")
#: So long it must hold after a job of ours before earlier failures are forgotten.
SETTLED_MS = 3_600_000
#: The version to get where there is no such: the package is removed, and no version would do.
REMOVED, NONE = "", None

State = Literal["holds", "missing", "wrong", "unknown", "waiting", "held", "failed", "contradicted"]
STATES: tuple[State, ...] = ("holds", "missing", "wrong", "unknown", "waiting", "held", "failed", "contradicted")
#: States in which a machine is not as the assignment wants it, and nothing is under way.
DRIFTING: frozenset[State] = frozenset({"missing", "wrong", "held", "failed", "contradicted"})


@dataclass(frozen=True, slots=True)
class Machine:
    """What is known of one machine.

    Attributes:
        version: that stands there; "" for none, None where it said nothing yet.
        holds: whether that is as the assignment wants it.
        choice: the version that would do; REMOVED, or NONE where none does.
        busy: a job about the package that is open there.
        by_owner: whether that job waits for the machine's owner.
    """

    version: str | None
    holds: bool
    choice: str | None = REMOVED
    busy: str = ""
    by_owner: bool = False


@dataclass(frozen=True, slots=True)
class Try:
    """What was tried on one machine; times in milliseconds since 1970.

    Attributes:
        job: that is open for it; "" for none.
        failures: in a row.
        again: no job before.
        done: when the last one was done; 0 for not.
        code, detail: of the last failure.
    """

    job: str = ""
    failures: int = 0
    again: int = 0
    done: int = 0
    code: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Looked:
    """All its machines were looked at."""

    machines: Mapping[str, Machine]


@dataclass(frozen=True, slots=True)
class Ordered:
    """A job was made for these nodes."""

    job: str
    nodes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Refused:
    """No job could be made for these nodes."""

    nodes: tuple[str, ...]
    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class Ended:
    """The job of a node ended; `state` is the target's, or "gone" where nobody knows any more."""

    node: str
    state: str
    code: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class RetryAsked:
    """A person wants it tried again: on these nodes, or on all."""

    nodes: tuple[str, ...] = ()


Event: TypeAlias = Looked | Ordered | Refused | Ended | RetryAsked


@dataclass(frozen=True, slots=True)
class Order:
    """Have `version` installed (REMOVED: the package removed) on these nodes, in one job."""

    version: str
    nodes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class WakeAt:
    """Look again at `at`."""

    at: int


Command: TypeAlias = Order | WakeAt


def pause_after(failures: int) -> int:
    """Milliseconds until the next try."""
    return min(PAUSE_MS << min(max(failures - 1, 0), 16), LONGEST_MS)


@dataclass(slots=True)
class AssignmentLife:
    """One assignment; `tries` by node holds those of which there is something to remember."""

    paused: bool = False
    tries: dict[str, Try] = field(default_factory=dict)

    def handle(self, event: Event, *, now: int) -> list[Command]:
        """What to do after `event`."""
        match event:
            case Looked(machines):
                return self._looked(machines, now)
            case Ordered(job, nodes):
                for node in nodes:
                    self.tries[node] = replace(self.tries.get(node, Try()), job=job, done=0)
            case Refused(nodes, code, detail):
                for node in nodes:
                    self._failed(node, code, detail, now)
            case Ended():
                self._ended(event, now)
            case RetryAsked(nodes):
                for node in nodes or tuple(self.tries):
                    if node in self.tries:
                        self.tries[node] = Try(job=self.tries[node].job)
        return []

    def _looked(self, machines: Mapping[str, Machine], now: int) -> list[Command]:
        wanted: dict[str, list[str]] = {}
        wakes: list[int] = []
        for node in [node for node, one in self.tries.items() if node not in machines and not one.job]:
            del self.tries[node]
        for node, machine in machines.items():
            held = self.tries.get(node)
            if held is not None and not held.job:
                held = self._settled(node, held, machine, now)
            if self.paused or machine.holds or machine.version is None or machine.choice is None or machine.busy:
                continue
            if held is not None and (held.job or held.failures >= MOST):
                continue
            if held is not None and held.again > now:
                wakes.append(held.again)
                continue
            wanted.setdefault(machine.choice, []).append(node)
        orders: list[Command] = [Order(version, tuple(sorted(nodes))) for version, nodes in sorted(wanted.items())]
        return [*orders, WakeAt(min(wakes))] if wakes else orders

    def _settled(self, node: str, held: Try, machine: Machine, now: int) -> Try | None:
        """What is left to remember of a node without a job of ours."""
        if machine.holds:
            if not held.done or now - held.done >= SETTLED_MS:
                del self.tries[node]
                return None
            return held
        if held.done and machine.version is not None and not machine.busy:
            if now - held.done < SETTLED_MS:
                said = f"{machine.version or 'nothing'} stands there again soon after it was put right"
                self._failed(node, "assignment.undone", said, now)
            else:
                self.tries[node] = Try()
            return self.tries[node]
        return held

    def _failed(self, node: str, code: str, detail: str, now: int) -> None:
        failures = self.tries.get(node, Try()).failures + 1
        self.tries[node] = Try("", failures, now + pause_after(failures), 0, code, detail)

    def _ended(self, event: Ended, now: int) -> None:
        held = self.tries.get(event.node)
        if held is None or not held.job:
            return
        match event.state:
            case "done":
                self.tries[event.node] = replace(held, job="", again=0, done=now)
            case "expired" | "gone":
                self.tries[event.node] = replace(held, job="", again=now + PAUSE_MS, done=0)
            case "cancelled" | "rejected" if event.state == "cancelled" or event.code.startswith(_BY_PERSON):
                self.tries[event.node] = Try("", MOST, 0, 0, event.code or f"job.{event.state}", event.detail)
            case _:
                self._failed(event.node, event.code, event.detail, now)

    def state_of(self, node: str, machine: Machine) -> State:
        """What is shown of a machine."""
        held = self.tries.get(node)
        if machine.holds:
            return "holds"
        if machine.busy or (held is not None and held.job):
            return "held" if machine.by_owner else "waiting"
        if machine.version is None:
            return "unknown"
        if machine.choice is None:
            return "contradicted"
        if held is not None and held.failures:
            return "failed"
        return "wrong" if machine.version else "missing"
