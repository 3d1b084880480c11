"""What a job that rests waits for, and how it says so.

Rules
- A job rests before its first step, when it is prepared, and when it is committed; nothing is performed meanwhile.
- What is prepared in two phases waits for the order to commit, and for times, facts and owner only then.
- The same reason is told once; what facts and the owner say is told anew with its figures.
"""

from __future__ import annotations

from collections.abc import Callable

from tiercast_endpoint.jobs.events import Command, Judged, Rest, Seek, Tell
from tiercast_endpoint.jobs.gate import Gate
from tiercast_endpoint.jobs.story import INSTALL, RESTING, STATE_OF, Snapshot, Step
from tiercast_protocol.content.jobs.reason import Reason, because, packed
from tiercast_protocol.content.package import phases

#: What is told when it waits for nothing but its turn.
_TURN: dict[Step, Callable[[], Reason]] = {
    Step.WAIT: lambda: because("turn"),
    Step.HOLD: lambda: because("hold"),
    Step.STAND: lambda: because("turn"),
}


class Waits:
    """What was last said of one job by everybody whom it waits for.

    Args:
        gate: its times on this machine.
        held: why the parent has it wait; None where it does not.
    """

    def __init__(self, gate: Gate, held: Reason | None) -> None:
        self.gate, self.held = gate, held
        self.judged = Judged()
        self.happened: frozenset[str] = frozenset()
        self.running = ""
        self._told: Reason | None = None

    def reason(self, at: Snapshot, now: int) -> Reason | None:  # noqa: PLR0911 - one per kind of waiting
        """What the job waits for besides its turn; None when it may go on, or does."""
        if at.step not in RESTING:
            return None
        if at.step is Step.STAND:
            return because("accept.waits") if at.phase == phases.COMMIT and at.outcome is None else None
        if now < at.again and at.failed is not None:
            error = f"{at.failed.code} {at.failed.detail}".strip()
            return because("retry.pause", attempt=at.attempt, error=error, until=at.again)
        if at.step is Step.HOLD and at.phase == phases.PREPARE:
            return because("commit.waits")
        if self.held is not None:
            return self.held
        if at.step is Step.WAIT and at.type == INSTALL:
            return self.judged.fetch or self.gate.before_transfer(now)
        return self.to_begin(now)

    def to_begin(self, now: int) -> Reason | None:
        """Why an installation may not begin."""
        return self.judged.install or self.gate.before_installation(now, self.happened, self.running)

    def look(self, at: Snapshot, now: int) -> list[Command]:
        """Rest, and say why; or ask for a turn."""
        if (wait := self.reason(at, now)) is not None:
            return self.rest(at, wait)
        told, self._told = self._told, None
        if told is None:
            return [Seek()]
        # What it waited for came; that it waits for its turn now is told, or the old reason would stand.
        return [Tell(STATE_OF[at.step], *packed(_TURN[at.step]())), Seek()]

    def rest(self, at: Snapshot, wait: Reason) -> list[Command]:
        """Give the turn back, and say why, once."""
        told, self._told = self._told, wait
        same = told is not None and (told.code, told.until) == (wait.code, wait.until)
        # What facts and the owner say is told anew with its figures; those of times change with the clock.
        same &= wait not in {self.judged.fetch, self.judged.install} or told == wait
        tell = [] if same else [Tell(STATE_OF[at.step], *packed(wait))]
        return [*tell, Rest(wait.until)]

    def moved(self) -> None:
        """The job went on: whatever it waits for next is told."""
        self._told = None
