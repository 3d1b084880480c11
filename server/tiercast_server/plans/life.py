"""The life of one activity plan, as a pure machine.

    step:  waiting --its condition holds, on some machine at least--> running --its job ends--> done | failed
           waiting --its condition can hold no more--> skipped | cancelled
    plan:  running --no step waits or runs--> done | failed | cancelled

Rules
- A step begins when all that it comes after have passed: ended well on all targets, or badly where their `on_failure`
  is "go-on".  One that another names as its `on_failure` begins only if that one ended badly.  None begins twice.
- A step for each machine by itself begins when the first of them may (`MachinesReady`; which those are is for
  `plan_targets`), and ends when all that it waits for have ended, and its job.
- "stop" stops the plan: what runs goes on to its end, nothing more begins.  Where another step is run instead, only
  what comes after the failed one is left out.  For a step for each machine that is decided machine by machine.
- While a plan is suspended nothing begins; what runs goes on to its end.
- The states are all that there is: a machine made of them again goes on as the first would have.
- A story is told late or twice: the end of a step that does not run changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

StepState = Literal["waiting", "running", "done", "failed", "skipped", "cancelled"]
PlanState = Literal["running", "done", "failed", "cancelled"]

STOP, GO_ON = "stop", "go-on"
FINAL: frozenset[str] = frozenset({"done", "failed", "skipped", "cancelled"})


@dataclass(frozen=True, slots=True)
class Step:
    """One step: which ones it comes after, and what is done if it ends badly: "stop", "go-on", or a step's name.

    `per_target`: it begins on each machine as soon as those before it have ended there.
    """

    name: str
    after: tuple[str, ...] = ()
    on_failure: str = STOP
    per_target: bool = False


@dataclass(frozen=True, slots=True)
class Begun:
    """The plan was accepted, or is looked at again after a restart."""


@dataclass(frozen=True, slots=True)
class StepEnded:
    """The job of a step has ended, on all targets `well` or not."""

    step: str
    well: bool


@dataclass(frozen=True, slots=True)
class MachinesReady:
    """A step for each machine by itself may begin on one at least."""

    step: str


@dataclass(frozen=True, slots=True)
class StepRefused:
    """The job of a step that was to begin could not be made."""

    step: str


@dataclass(frozen=True, slots=True)
class CancelAsked:
    """A person asked for it."""


@dataclass(frozen=True, slots=True)
class SuspendAsked:
    """A person asked for it, or to go on."""

    on: bool = True


Event: TypeAlias = Begun | StepEnded | MachinesReady | StepRefused | CancelAsked | SuspendAsked


@dataclass(frozen=True, slots=True)
class Start:
    """Make the job of the step, which is running from now on."""

    step: str
    at: int


@dataclass(frozen=True, slots=True)
class Settle:
    """The step's state is final."""

    step: str
    state: StepState
    at: int


@dataclass(frozen=True, slots=True)
class CancelJob:
    """Have the job of the step cancelled."""

    step: str


@dataclass(frozen=True, slots=True)
class Close:
    """Nothing of the plan waits or runs any more."""

    state: PlanState
    at: int


Command: TypeAlias = Start | Settle | CancelJob | Close


class PlanLife:
    """One plan; `states` by name of the step, `cancelling` once a cancel was asked for, `suspended` while it is."""

    def __init__(
        self,
        steps: tuple[Step, ...],
        states: Mapping[str, StepState] | None = None,
        *,
        state: PlanState = "running",
        cancelling: bool = False,
        suspended: bool = False,
    ) -> None:
        self.steps = self._steps = {step.name: step for step in steps}
        held = states or {}
        self.states: dict[str, StepState] = {name: held.get(name, "waiting") for name in self._steps}
        self.state: PlanState = state
        self.cancelling, self.suspended = cancelling, suspended
        #: Who runs a step instead of stopping: {that step: those whose bad end it is for}.
        self._instead: dict[str, list[str]] = {}
        for step in steps:
            if step.on_failure not in {STOP, GO_ON}:
                self._instead.setdefault(step.on_failure, []).append(step.name)

    def handle(self, event: Event, *, now: int) -> list[Command]:
        """What to do after `event`; `now` in milliseconds since 1970."""
        if self.state != "running":
            return []
        commands: list[Command] = []
        match event:
            case StepEnded(step, well) if self.states[step] == "running" and self._may_end(step):
                commands.append(self._settle(step, "done" if well else "failed", now))
            case MachinesReady(step) if self.states[step] == "waiting" and self._may_begin(step):
                self.states[step] = "running"
                commands.append(Start(step, now))
            case SuspendAsked(on):
                self.suspended = on
                return []  # what begins is told at the next look, which has asked for it first
            case StepRefused(step) if self.states[step] == "running":
                commands.append(self._settle(step, "failed", now))
            case CancelAsked() if not self.cancelling:
                self.cancelling = True
                commands += [CancelJob(name) for name, state in self.states.items() if state == "running"]
            case _:
                pass
        return commands + self._go_on(now)

    def waits_for(self, name: str) -> list[str]:
        """The steps whose ends a waiting step waits for."""
        step = self._steps[name]
        return [other for other in (*step.after, *self._instead.get(name, ())) if self.states[other] not in FINAL]

    def causes(self, name: str) -> list[str]:
        """The steps whose bad end this one is for."""
        return self._instead.get(name, [])

    def by_machine(self, name: str) -> bool:
        """Whether it begins on each machine by itself: one that comes after nothing begins at once."""
        step = self._steps[name]
        return step.per_target and bool(step.after or self.causes(name))

    def _may_begin(self, name: str) -> bool:
        return self.by_machine(name) and not (self.suspended or self.cancelling)

    def _may_end(self, name: str) -> bool:
        return not self.by_machine(name) or self.cancelling or not self.waits_for(name)

    def _settle(self, name: str, state: StepState, now: int) -> Settle:
        self.states[name] = state
        return Settle(name, state, now)

    def _go_on(self, now: int) -> list[Command]:
        commands: list[Command] = []
        moved = True
        while moved:  # a step that is left out may be what another one waited for
            moved = False
            for name, state in self.states.items():
                if state != "waiting":
                    continue
                if self.cancelling:
                    commands.append(self._settle(name, "cancelled", now))
                elif self.by_machine(name):
                    # Had there been a machine for it, it would have begun before the last of these ended.
                    if self.waits_for(name) or self.suspended:
                        continue
                    commands.append(self._settle(name, "skipped", now))
                elif self._stopped() or not self._possible(name):
                    commands.append(self._settle(name, "skipped", now))
                elif not self.suspended and self._ready(name):
                    self.states[name] = "running"
                    commands.append(Start(name, now))
                else:
                    continue
                moved = True
        if all(state in FINAL for state in self.states.values()):
            self.state = self._end()
            commands.append(Close(self.state, now))
        return commands

    def _stopped(self) -> bool:
        return any(self.states[name] == "failed" and step.on_failure == STOP for name, step in self._steps.items())

    def _passed(self, name: str) -> bool:
        return self.states[name] == "done" or (self.states[name] == "failed" and self._steps[name].on_failure == GO_ON)

    def _possible(self, name: str) -> bool:
        """Whether its condition holds or may come to hold."""
        if any(self.states[other] in FINAL and not self._passed(other) for other in self._steps[name].after):
            return False
        causes = self._instead.get(name)
        return causes is None or any(
            self.states[other] == "failed" or self.states[other] not in FINAL for other in causes
        )

    def _ready(self, name: str) -> bool:
        causes = self._instead.get(name)
        wanted = causes is None or any(self.states[other] == "failed" for other in causes)
        return wanted and all(self._passed(other) for other in self._steps[name].after)

    def _end(self) -> PlanState:
        if self.cancelling:
            return "cancelled"
        bad = any(self.states[name] == "failed" and step.on_failure != GO_ON for name, step in self._steps.items())
        return "failed" if bad else "done"
