"""The life of one rollout, as a pure machine.

    running <-> paused --all waves ended--> done
       |-- breaker --> stopping --> stopped
       |-- cancel ---> cancelling --> cancelled
       `-- its time -> expiring --> expired

Rules
- A wave begins only while the gate before it is open: a person said so, or enough of the wave before are done, the
  pause after that is over, and nobody wants to be asked.
- The breaker goes before the gate: what opens it is looked at first, and no wave begins afterwards.
- Nothing leads out of a final state, and none is reached while a job of a wave is open.
- What is counted comes from the jobs' targets each time; here only moments and words are kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from tiercast_protocol.content.jobs.breaker import WHOLE, Limit

State = Literal["running", "paused", "stopping", "cancelling", "expiring", "done", "stopped", "cancelled", "expired"]
FINAL: frozenset[State] = frozenset({"done", "stopped", "cancelled", "expired"})
#: In these waves may still begin.
OPEN: frozenset[State] = frozenset({"running", "paused"})
_END: dict[State, State] = {"stopping": "stopped", "cancelling": "cancelled", "expiring": "expired"}


@dataclass(frozen=True, slots=True)
class Rules:
    """When a rollout goes on and when it stops; shares and numbers of 0 are: no such breaker."""

    go_on: int = WHOLE
    soak_ms: int = 0
    by_hand: bool = False
    stop_share: int = 0
    stop_number: int = 0
    site_share: int = 0
    site_number: int = 0

    @property
    def stop(self) -> Limit:
        """At what the region stops."""
        return Limit(self.stop_number, self.stop_share)

    @property
    def site(self) -> Limit:
        """At what a gateway stops by itself, by what it counts below itself alone."""
        return Limit(self.site_number, self.site_share)


@dataclass(frozen=True, slots=True)
class Counts:
    """The targets of one wave that has begun; `bad` ended as failed, interrupted or rejected."""

    total: int
    done: int = 0
    bad: int = 0
    open: int = 0


@dataclass(frozen=True, slots=True)
class Counted:
    """The targets of the waves that have begun were counted, the first wave first."""

    waves: tuple[Counts, ...]


@dataclass(frozen=True, slots=True)
class Said:
    """A person's word."""

    word: Literal["next", "pause", "resume", "cancel"]


@dataclass(frozen=True, slots=True)
class Refused:
    """The wave that was to begin can't: a person has to look."""


Event: TypeAlias = Counted | Said | Refused


@dataclass(frozen=True, slots=True)
class StartWave:
    """Order the wave with this number, counted from 0."""

    wave: int


@dataclass(frozen=True, slots=True)
class CancelJobs:
    """Cancel the open jobs of all waves where they have not begun, then count again."""


@dataclass(frozen=True, slots=True)
class End:
    """It has ended in this state."""

    state: State


@dataclass(frozen=True, slots=True)
class WakeAt:
    """Count again at `at` (milliseconds since 1970) though nothing happened."""

    at: int


Command: TypeAlias = StartWave | CancelJobs | End | WakeAt


@dataclass(slots=True)
class RolloutLife:
    """One rollout.

    Attributes:
        waves: how many it has.
        expires: from then on no wave begins.
        begun: how many have begun.
        reached: when enough of the last wave that began were done; 0 for not yet.
        word: a person said that the next wave is to begin.
    """

    rules: Rules
    waves: int
    expires: int
    state: State = "running"
    begun: int = 0
    reached: int = 0
    word: bool = False
    counts: tuple[Counts, ...] = ()

    def handle(self, event: Event, *, now: int) -> list[Command]:
        """What to do after `event`."""
        if self.state in FINAL:
            return []
        match event:
            case Counted(waves):
                self.counts = tuple(waves[: self.begun])
                return self._counted(now)
            case Said(word):
                return self._said(word, now)
            case Refused():
                self.begun -= 1
                self.word = False
                self.state = "paused" if self.state in OPEN else self.state
                self.counts = self.counts[: self.begun]
                return []

    def breaks(self) -> bool:
        """Whether so many failed that it must stop."""
        bad, total = sum(one.bad for one in self.counts), sum(one.total for one in self.counts)
        return self.rules.stop.reached(bad, total)

    def opens_at(self) -> int | None:
        """When the gate before the next wave is open; None while nobody can say."""
        if self.begun == 0 or self.word:
            return 0
        if not self.reached or self.rules.by_hand:
            return None
        return self.reached + self.rules.soak_ms

    def _counted(self, now: int) -> list[Command]:
        if self.state in OPEN and self.breaks():
            self.state = "stopping"
            return [CancelJobs()]
        if self.state in OPEN and now >= self.expires and self.begun < self.waves:
            self.state = "expiring"
        if self.state in OPEN and self.begun == self.waves:
            return self._ended("done")
        if self.state not in OPEN:
            return self._ended(_END[self.state])
        return self._gate(now)

    def _ended(self, state: State) -> list[Command]:
        if len(self.counts) < self.begun or any(one.open for one in self.counts):
            return []
        self.state = state
        return [End(state)]

    def _gate(self, now: int) -> list[Command]:
        if self.begun and len(self.counts) == self.begun and not self.reached and enough(self.counts[-1], self.rules):
            self.reached = now
        at = self.opens_at()
        if self.state == "running" and at is not None and at <= now:
            self.begun += 1
            self.reached, self.word = 0, False
            return [StartWave(self.begun - 1)]
        later = [self.expires, *([at] if at is not None and at > now else [])]
        return [WakeAt(min(later))]

    def _said(self, word: str, now: int) -> list[Command]:
        if self.state not in OPEN:
            return []
        match word:
            case "pause":
                self.state = "paused"
            case "resume":
                self.state = "running"
            case "next":
                self.word = self.begun < self.waves
            case _:
                self.state = "cancelling"
                return [CancelJobs()]
        return self._counted(now)


def enough(one: Counts, rules: Rules) -> bool:
    """Whether the share of the wave that is done lets the next one begin."""
    return one.done * WHOLE >= rules.go_on * one.total
