"""How far the targets of a job in two phases are to go, as a pure machine (docs/transactions.md).

    prepare --enough prepared, or by hand--> commit --by hand--> accept
       |                                       |
       +---- too many failed, or by hand ------+--> undo

Rules
- Counted are all targets of the job: who failed, or is away, is not prepared.  Failed are failed, interrupted and
  rejected ones, at whatever moment.
- By hand nothing is committed below the share that was asked for, and nothing accepted that is not committed, but by
  force.  A part of the targets is counted by itself.
- Undo is the end: nobody is ordered further after it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from tiercast_protocol.content.jobs.receipt import STATES
from tiercast_protocol.content.package import phases
from tiercast_protocol.errors import UsageError

_WHOLE = 100
_FAILED = frozenset({"failed", "interrupted", "rejected"})


@dataclass(frozen=True, slots=True)
class Tally:
    """How many targets there are, and how many of them are so far."""

    total: int = 0
    open: int = 0
    prepared: int = 0
    committed: int = 0
    done: int = 0
    failed: int = 0


@dataclass(frozen=True, slots=True)
class Tallied:
    """All targets were counted."""

    all: Tally


@dataclass(frozen=True, slots=True)
class Said:
    """Somebody says how far: all open targets, or `nodes`, which are counted in `meant`."""

    step: str
    meant: Tally
    nodes: tuple[str, ...] = ()
    force: bool = False


Event: TypeAlias = Tallied | Said


@dataclass(frozen=True, slots=True)
class OrderStep:
    """Order it: `nodes`, or all open targets, now and later."""

    step: str
    nodes: tuple[str, ...] = ()


def tally(states: Mapping[tuple[str, str], int]) -> Tally:
    """The tally of targets by state and code."""
    by_code = {code: sum(n for (_, one), n in states.items() if one == code) for _, code in states}
    return Tally(
        total=sum(states.values()),
        open=sum(n for (state, _), n in states.items() if not STATES[state]),
        prepared=by_code.get(phases.PREPARED, 0),
        committed=by_code.get(phases.COMMITTED, 0),
        done=sum(n for (state, _), n in states.items() if state == "done"),
        failed=sum(n for (state, _), n in states.items() if state in _FAILED),
    )


@dataclass(slots=True)
class SetLife:
    """One job.

    Attributes:
        job: its id, for what is said to people.
        step: how far all its targets were ordered to go.
        at_least: percentage that must be prepared; 0 where nobody said so, and nothing is committed by itself.
        undo_if: percentage of failed ones at which all of it is undone; 0 for never.
    """

    job: str
    step: str = phases.PREPARE
    at_least: int = 0
    undo_if: int = 0

    def handle(self, event: Event) -> list[OrderStep]:
        """What to order after `event`.

        Raises:
            UsageError: set.undone, set.few or set.uncommitted.
        """
        match event:
            case Tallied(counted):
                return self._counted(counted)
            case Said():
                return self._said(event)

    def _counted(self, all_: Tally) -> list[OrderStep]:
        if self.step == phases.UNDO or not all_.open:
            return []
        if self.undo_if and all_.failed * _WHOLE >= self.undo_if * all_.total:
            return self._order(phases.UNDO)
        ready = all_.prepared + all_.committed + all_.done
        if self.step == phases.PREPARE and self.at_least and ready * _WHOLE >= self.at_least * all_.total:
            return self._order(phases.COMMIT)
        return []

    def _said(self, said: Said) -> list[OrderStep]:
        meant = said.meant
        if self.step == phases.UNDO and said.step != phases.UNDO:
            raise UsageError(
                "set.undone",
                f"The job {self.job} was undone: nobody goes on with it.",
                "",
                "Order it again: tiercast job copy. Nothing was done.",
            )
        if said.step == phases.COMMIT and not said.force:
            ready, needed = meant.prepared + meant.committed + meant.done, self.at_least or _WHOLE
            if ready * _WHOLE < needed * meant.total:
                raise UsageError(
                    "set.few",
                    f"{ready} of {meant.total} targets of {self.job} are prepared; {needed}% are needed.",
                    "",
                    f"`tiercast why {self.job}` says what the others wait for; --force commits all the same.",
                )
        if said.step == phases.ACCEPT and not said.force and meant.committed < meant.open:
            raise UsageError(
                "set.uncommitted",
                f"{meant.open - meant.committed} of {meant.open} open targets of {self.job} are not committed.",
                "",
                "Commit them first, name those that are (--on), or say --force. Nothing was done.",
            )
        return [OrderStep(said.step, said.nodes)] if said.nodes else self._order(said.step)

    def _order(self, step: str) -> list[OrderStep]:
        self.step = phases.further(self.step, step)
        return [OrderStep(step)]
