"""Which parent a node has: home, and another while home is away (docs/protocol.md, section 12).  Pure.

Rules
- A parent that is there is never left, except for home when the region says so (or the settings do), for where the
  node's owner wants to go, and for the same parent at a new address.
- A parent that is away is waited for: `patience`, stretched by chance so that the children of one dead parent do not
  all come at once.  Then all candidates are asked and measured; of those with a place the cheapest go first, among
  those of like cost the fastest, and home before all.
- A place is taken before the move.  Whoever has no place for us says when to ask again, and is asked no earlier.
- While a parent is away something is always under way: a question, a move, or a timer.
- An address that a human said counts once the parent there has proved itself; the region's next list may name another.
- Late answers, and answers of who was not asked, change nothing.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from tiercast_protocol.node.hop import Parent
from tiercast_protocol.node.standing import Choice, Policy, Standing

#: Seconds: for the answers to one round of questions, and for a new parent to be there after a move.
ASK_SECONDS = 6.0
COME_SECONDS = 20.0
#: Between two tries to go home once told, between two looks at home when nobody needs to tell, in seconds.
HOME_SECONDS = 15.0
LOOK_SECONDS = 30.0
#: A round that found no place is followed by the next after this, doubled up to the most, in seconds.
FIRST_PAUSE, MOST_PAUSE = 5.0, 300.0
#: Whoever could not be reached is as good as one who said to come back then.
UNREACHED_SECONDS = 10.0
#: A candidate is faster than another from this ratio on; below it the order of the list decides.
FASTER = 1.25


# -- events ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ParentConnected:
    """Both connections to the present parent are up."""


@dataclass(frozen=True, slots=True)
class ParentLost:
    """One of them is lost; also said once at the start."""


@dataclass(frozen=True, slots=True)
class ParentRefused:
    """The present parent has no place for us, and says when to ask again."""

    reason: str
    wait: float


@dataclass(frozen=True, slots=True)
class ParentsSet:
    """The region's list came."""

    home: Choice
    candidates: tuple[Choice, ...]
    called: int = 0


@dataclass(frozen=True, slots=True)
class Answered:
    """`name` answered round `number`: a place or not, the measured rate in bytes per second (0: not measured)."""

    name: str
    number: int
    granted: bool
    rate: float = 0.0
    wait: float = 0.0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class OwnerChose:
    """The node's owner wants it below `name`."""

    name: str


@dataclass(frozen=True, slots=True)
class AddressProved:
    """`parent` proved that it is at this address, which a human said."""

    parent: Parent


@dataclass(frozen=True, slots=True)
class TimerFired:
    """The time asked for by `WakeAt` has come; too early or twice is harmless."""


Event = ParentConnected | ParentLost | ParentRefused | ParentsSet | Answered | OwnerChose | AddressProved | TimerFired


# -- commands --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask `parent` for a place and answer with this `number`; `enter` takes it."""

    parent: Parent
    number: int
    enter: bool


@dataclass(frozen=True, slots=True)
class Move:
    """`standing.present` is the parent from now on."""

    standing: Standing


@dataclass(frozen=True, slots=True)
class Remember:
    """Write it down."""

    standing: Standing


@dataclass(frozen=True, slots=True)
class WakeAt:
    """Say `TimerFired` at this time, and forget the earlier ones."""

    at: float


Command = Ask | Move | Remember | WakeAt


@dataclass(slots=True)
class _Round:
    """Questions that are out: who has not answered, who offered a place at which rate."""

    number: int
    why: str
    ends: float
    open: set[str]
    entering: str = ""
    offers: dict[str, float] = field(default_factory=dict)


class Parentage:
    """One node's choice.  `waiting` says why it has no parent, for humans; "" when it has one."""

    def __init__(self, standing: Standing, policy: Policy, rng: random.Random) -> None:
        self.standing = standing
        self.waiting = ""
        self._policy, self._rng = policy, rng
        self._connected = False
        self._round: _Round | None = None
        self._number = 0
        self._seek_at: float | None = None
        self._home_at: float | None = None
        self._pause = FIRST_PAUSE
        self._not_before: dict[str, float] = {}
        #: What each said that let us in nowhere, for humans.
        self.refusals: dict[str, str] = {}
        self._wanted = ""
        #: The present parent, where that has no place for us; it may be asked like any other.
        self._turned_away = ""
        self._wake: float | None = None
        self._handlers: dict[type, Callable[[Any, float], list[Command]]] = {
            ParentConnected: self._came,
            ParentLost: self._lost,
            ParentRefused: self._refused,
            ParentsSet: self._set,
            Answered: self._answered,
            OwnerChose: self._chose,
            AddressProved: self._proved,
            TimerFired: lambda _event, now: self._due(now),
        }

    @property
    def at_home(self) -> bool:
        """Whether the present parent is home."""
        return self.standing.present.name == self.standing.home.parent.name

    def handle(self, event: Event, *, now: float) -> list[Command]:
        """What to do about it; `now` in seconds of a clock that only rises."""
        commands = self._handlers[type(event)](event, now)
        return commands + self._arm(now)

    # -- events --------------------------------------------------------------------------------------

    def _came(self, _event: ParentConnected, now: float) -> list[Command]:
        self._connected, self._seek_at, self._pause = True, None, FIRST_PAUSE
        self.waiting = self._turned_away = ""
        if self._round is not None and self._round.why == "lost":
            self._round = None
        return self._look_home(now)

    def _lost(self, _event: ParentLost, now: float) -> list[Command]:
        self._connected = False
        here = self._known(self.standing.present.name)
        if here is not None and here.parent != self.standing.present:
            return self._move(here.parent, "its address is another now", now)
        self.waiting = self.waiting or f"{self.standing.present.name} is away"
        if self._seek_at is None and self._round is None:
            self._seek_at = now + self._policy.patience * (1 + self._rng.random() / 2)
        return []

    def _refused(self, event: ParentRefused, now: float) -> list[Command]:
        name = self.standing.present.name
        self._connected, self._turned_away = False, name
        self._not_before[name], self.refusals[name] = now + event.wait, event.reason
        self.waiting = f"{name}: {event.reason}"
        return self._seek(now) if self._round is None else []

    def _set(self, event: ParentsSet, now: float) -> list[Command]:
        before = self.standing
        called = max(before.called, event.called)
        self.standing = replace(before, home=event.home, candidates=event.candidates, called=called)
        commands: list[Command] = [Remember(self.standing)] if self.standing != before else []
        here = self._known(self.standing.present.name)
        if here is not None and here.parent != self.standing.present and not self._connected:
            return commands + self._move(here.parent, "its address is another now", now)
        return commands + self._look_home(now)

    def _chose(self, event: OwnerChose, now: float) -> list[Command]:
        choice = self._known(event.name)
        if choice is None or event.name == self.standing.present.name:
            return []
        self._wanted = event.name
        return self._ask([choice], "owner", now, enter=event.name)

    def _proved(self, event: AddressProved, now: float) -> list[Command]:
        parent, before = event.parent, self.standing
        self.standing = before.with_address(parent)
        self._not_before.pop(parent.name, None)
        self.refusals.pop(parent.name, None)
        commands: list[Command] = [Remember(self.standing)] if self.standing != before else []
        if self._connected or parent == before.present:
            return commands
        if parent.name == before.present.name:
            return commands + self._move(parent, "its address is another now", now)
        return commands + self._ask([Choice(parent)], "owner", now, enter=parent.name)

    def _answered(self, event: Answered, now: float) -> list[Command]:
        asked = self._round
        if asked is None or event.number != asked.number or event.name not in asked.open:
            return []
        asked.open.discard(event.name)
        if not event.granted:
            self._not_before[event.name] = now + (event.wait or UNREACHED_SECONDS)
            self.refusals[event.name] = event.reason or "no answer"
        elif asked.entering:
            return self._entered(asked, now)
        else:
            asked.offers[event.name] = event.rate
        return self._next(asked, now) if not asked.open else []

    def _due(self, now: float) -> list[Command]:
        self._wake = None
        asked = self._round
        if asked is not None:
            if now < asked.ends:
                return []
            for name in asked.open:
                self._not_before[name] = now + UNREACHED_SECONDS
                self.refusals[name] = "no answer"
            asked.open.clear()
            return self._next(asked, now)
        if not self._connected and self._seek_at is not None and now >= self._seek_at:
            return self._seek(now)
        if self._connected and self._home_at is not None and now >= self._home_at:
            return self._ask([self.standing.home], "home", now, enter=self.standing.home.parent.name)
        return []

    # -- looking for a parent ------------------------------------------------------------------------

    def _known(self, name: str) -> Choice | None:
        return next((one for one in self._choices() if one.parent.name == name), None)

    def _choices(self) -> tuple[Choice, ...]:
        return (self.standing.home, *self.standing.candidates)

    def _may_ask(self, name: str) -> bool:
        return name != self.standing.present.name or name == self._turned_away

    def _seek(self, now: float) -> list[Command]:
        others = [one for one in self._choices() if self._may_ask(one.parent.name)]
        ready = [one for one in others if self._not_before.get(one.parent.name, now) <= now]
        if not ready:
            return self._wait(now)
        self._seek_at = None
        return self._ask(ready, "lost", now)

    def _ask(
        self, choices: list[Choice], why: str, now: float, *, enter: str = "", offers: dict[str, float] | None = None
    ) -> list[Command]:
        self._number += 1
        names = {one.parent.name for one in choices}
        self._round = _Round(self._number, why, now + ASK_SECONDS, names, enter, offers or {})
        return [Ask(one.parent, self._number, bool(enter)) for one in choices]

    def _next(self, asked: _Round, now: float) -> list[Command]:
        """All answers are in: take the best offer, or wait."""
        self._round = None
        asked.offers.pop(asked.entering, None)  # it said no after all
        if any(self._known(name) is not None for name in asked.offers):
            best = self._best(asked.offers)
            return self._ask([best], asked.why, now, enter=best.parent.name, offers=asked.offers)
        if not self._connected:
            return self._wait(now)
        if asked.why == "owner":
            self._wanted = ""
        return self._look_home(now)

    def _best(self, offers: dict[str, float]) -> Choice:
        found = [one for one in self._choices() if one.parent.name in offers]
        if found[0] == self.standing.home:
            return found[0]
        cheapest = min(one.cost for one in found)
        best, *others = [one for one in found if one.cost == cheapest]
        for one in others:
            if offers[one.parent.name] > FASTER * offers[best.parent.name]:
                best = one
        return best

    def _wait(self, now: float) -> list[Command]:
        present = self.standing.present.name
        others = [one.parent.name for one in self._choices() if self._may_ask(one.parent.name)]
        earliest = min((self._not_before.get(name, now) for name in others), default=now)
        self._seek_at = max(earliest, now + self._pause * (0.5 + self._rng.random()))
        self._pause = min(2 * self._pause, MOST_PAUSE)
        why = "; ".join(f"{name}: {self.refusals[name]}" for name in others if name in self.refusals)
        self.waiting = f"{present} is away" + (f"; {why}" if why else "; nobody else lets this node in")
        return []

    def _entered(self, asked: _Round, now: float) -> list[Command]:
        choice = self._known(asked.entering)
        self._round = None
        if choice is None:  # the region changed its mind meanwhile
            return self._look_home(now) if self._connected else self._wait(now)
        standing = self.standing
        if asked.why == "owner":
            reason = "its owner wanted so"
        elif asked.why == "home":
            reason = "called home" if standing.called > standing.obeyed else "home is there again"
        else:
            reason = f"{standing.present.name} was away"
        return self._move(choice.parent, reason, now)

    def _move(self, parent: Parent, reason: str, now: float) -> list[Command]:
        self._round, self._connected, self._home_at, self._turned_away = None, False, None, ""
        self._seek_at = now + COME_SECONDS
        self._not_before.pop(parent.name, None)
        self.waiting = f"on the way to {parent.name}"
        obeyed = self.standing.called if parent.name == self.standing.home.parent.name else self.standing.obeyed
        self.standing = replace(self.standing, present=parent, reason=reason, obeyed=obeyed)
        return [Remember(self.standing), Move(self.standing)]

    def _look_home(self, now: float) -> list[Command]:
        """Connected: see whether, and when, to go home."""
        standing = self.standing
        if self.at_home:
            self._home_at = None
            self._wanted = ""
            if standing.obeyed < standing.called:
                self.standing = replace(standing, obeyed=standing.called)
                return [Remember(self.standing)]
            return []
        told = standing.called > standing.obeyed
        if not self._connected or not (told or (self._policy.auto and not self._wanted)):
            self._home_at = None
            return []
        tried = self._not_before.get(standing.home.parent.name, now)
        pause = 0.0 if told else LOOK_SECONDS * (0.5 + self._rng.random())
        self._home_at = max(now + pause, tried + (HOME_SECONDS * self._rng.random() if tried > now else 0.0))
        return []

    def _arm(self, now: float) -> list[Command]:
        """One timer, for whatever is due first."""
        due: float | None
        if self._round is not None:
            due = self._round.ends
        elif self._connected:
            due = self._home_at
        else:
            due = self._seek_at
        if due is None or due == self._wake:
            return []
        self._wake = due
        return [WakeAt(max(due, now))]
