"""Which machines are woken when: asleep, waking, awake or failed, as a pure machine (docs/power.md).

Rules
- A machine is woken for keys (jobs, or "" by hand), and as long as one of them wants it.
- They take turns in the order in which they were asked for: at most `at_once` are waking at one moment, and `pause_s`
  lies between two packets, so that a site full of machines neither trips its fuse nor floods its network.
- A packet may get lost, so it is sent again `tries` times in all, `patience_s` apart.  Who is not connected by then has
  failed, with the count and the times; he is tried again after `again_s`, as long as he is wanted.
- Who connects while he is waking was woken by us, and for those keys; who connects before his turn was not.
- A key wakes a machine at most `MOST_WAKES` times: one that goes down again and again is left alone.
- A late answer returns no commands.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

#: How often one key wakes the same machine.
MOST_WAKES = 3
State = Literal["asleep", "waking", "awake", "failed"]
ASLEEP: State = "asleep"
WAKING: State = "waking"
AWAKE: State = "awake"
FAILED: State = "failed"


@dataclass(frozen=True, slots=True)
class Limits:
    """How machines are woken; lengths in seconds."""

    at_once: int = 10
    pause_s: float = 1.0
    tries: int = 3
    patience_s: float = 120.0
    again_s: float = 3600.0


# -- events ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Wanted:
    """`key` needs `node`, which is not connected."""

    node: str
    key: str


@dataclass(frozen=True, slots=True)
class Unwanted:
    """`key` needs `node` no more."""

    node: str
    key: str


@dataclass(frozen=True, slots=True)
class Connected:
    """It is there."""

    node: str


@dataclass(frozen=True, slots=True)
class Left:
    """It is there no more."""

    node: str


@dataclass(frozen=True, slots=True)
class NotSent:
    """The packet could not be sent: `why`."""

    node: str
    why: str


@dataclass(frozen=True, slots=True)
class Restored:
    """An earlier life sent it a packet for these keys, `since` then."""

    node: str
    keys: tuple[str, ...]
    since: float


@dataclass(frozen=True, slots=True)
class TimeCame:
    """Look at the clock."""


Event: TypeAlias = Wanted | Unwanted | Connected | Left | NotSent | Restored | TimeCame


# -- commands ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Send:
    """Send it a packet, for these keys."""

    node: str
    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Woke:
    """It was woken by us, for these keys: it may be shut down again."""

    node: str
    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Forget:
    """Nothing of it is kept any more."""

    node: str


@dataclass(frozen=True, slots=True)
class Say:
    """It did not wake: after so many packets since then, or because none could be sent."""

    node: str
    tries: int
    since: float
    why: str


Command: TypeAlias = Send | Woke | Forget | Say


@dataclass(slots=True)
class Sleeper:
    """One machine; moments in seconds.

    Attributes:
        since: when the first packet of this round was sent.
        next: when something is to be done about it.
        tries: packets of this round; `rounds` how many rounds failed.
        why: why no packet could be sent.
        woken: how often each key woke it.
    """

    state: State = ASLEEP
    keys: dict[str, None] = field(default_factory=dict)
    since: float = 0.0
    next: float = 0.0
    last: float = 0.0
    tries: int = 0
    rounds: int = 0
    why: str = ""
    woken: dict[str, int] = field(default_factory=dict)


class Waking:
    """The machines of one gateway."""

    def __init__(self, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        #: In the order of their turns.
        self.sleepers: dict[str, Sleeper] = {}
        self._gate = 0.0

    def handle(self, event: Event, *, now: float) -> list[Command]:
        """What to do after `event`; moments in seconds."""
        match event:
            case Wanted(node, key):
                self._wanted(node, key)
            case Unwanted(node, key):
                return [*self._unwanted(node, key), *self._turns(now)]
            case Connected(node):
                return [*self._connected(node), *self._turns(now)]
            case Left(node):
                sleeper = self.sleepers.get(node)
                if sleeper is not None and sleeper.state == AWAKE:
                    sleeper.state, sleeper.keys = ASLEEP, {}
            case NotSent(node, why):
                return [*self._not_sent(node, why, now), *self._turns(now)]
            case Restored(node, keys, since):
                self.sleepers[node] = Sleeper(WAKING, dict.fromkeys(keys), since, now, since, 1)
            case TimeCame():
                pass
        return self._turns(now)

    def due(self) -> float | None:
        """When to look at the clock; None: nothing goes on."""
        moments = [
            max(one.next, self._gate) if one.state == WAKING and one.tries < self._limits.tries else one.next
            for one in self.sleepers.values()
            if one.state in {WAKING, FAILED} and one.keys
        ]
        if any(one.state == ASLEEP and one.keys for one in self.sleepers.values()) and self._room():
            moments.append(self._gate)
        return min(moments, default=None)

    def _room(self) -> bool:
        return sum(one.state == WAKING for one in self.sleepers.values()) < self._limits.at_once

    def _wanted(self, node: str, key: str) -> None:
        sleeper = self.sleepers.setdefault(node, Sleeper())
        if sleeper.state == AWAKE or sleeper.woken.get(key, 0) >= MOST_WAKES:
            return
        if sleeper.state == FAILED and key not in sleeper.keys:
            sleeper.state = ASLEEP
            self.sleepers[node] = self.sleepers.pop(node)
        if sleeper.state == ASLEEP and not sleeper.keys:
            # it takes its turn behind those that wait already
            self.sleepers[node] = self.sleepers.pop(node)
        sleeper.keys[key] = None

    def _unwanted(self, node: str, key: str) -> list[Command]:
        sleeper = self.sleepers.get(node)
        if sleeper is None:
            return []
        sleeper.keys.pop(key, None)
        sleeper.woken.pop(key, None)
        if sleeper.keys or sleeper.woken:
            return []
        del self.sleepers[node]
        return [Forget(node)]

    def _connected(self, node: str) -> list[Command]:
        sleeper = self.sleepers.get(node)
        if sleeper is None or sleeper.state == AWAKE:
            return []
        ours, keys = sleeper.state in {WAKING, FAILED} and sleeper.tries > 0, tuple(sleeper.keys)
        sleeper.state, sleeper.tries, sleeper.rounds, sleeper.why, sleeper.keys = AWAKE, 0, 0, "", {}
        if not ours or not keys:
            return [Forget(node)]
        for key in keys:
            sleeper.woken[key] = sleeper.woken.get(key, 0) + 1
        return [Woke(node, keys), Forget(node)]

    def _not_sent(self, node: str, why: str, now: float) -> list[Command]:
        sleeper = self.sleepers.get(node)
        if sleeper is None or sleeper.state != WAKING:
            return []
        sleeper.why, sleeper.tries = why, sleeper.tries - 1
        return self._fail(node, sleeper, now)

    def _turns(self, now: float) -> list[Command]:
        found: list[Command] = []
        for node, sleeper in list(self.sleepers.items()):
            if sleeper.state == WAKING and sleeper.next <= now:
                if not sleeper.keys:
                    sleeper.state = ASLEEP
                elif sleeper.tries >= self._limits.tries:
                    found += self._fail(node, sleeper, now)
                elif now >= self._gate:
                    found.append(self._send(node, sleeper, now))
            elif sleeper.state == FAILED and sleeper.keys and sleeper.next <= now:
                sleeper.state = ASLEEP
        for node, sleeper in list(self.sleepers.items()):
            if sleeper.state == ASLEEP and sleeper.keys and self._room() and now >= self._gate:
                sleeper.state, sleeper.since, sleeper.tries, sleeper.why = WAKING, now, 0, ""
                found.append(self._send(node, sleeper, now))
        return found

    def _send(self, node: str, sleeper: Sleeper, now: float) -> Send:
        sleeper.tries += 1
        sleeper.last, sleeper.next = now, now + self._limits.patience_s
        self._gate = now + self._limits.pause_s
        return Send(node, tuple(sleeper.keys))

    def _fail(self, node: str, sleeper: Sleeper, now: float) -> list[Command]:
        sleeper.state, sleeper.next = FAILED, now + self._limits.again_s
        sleeper.rounds += 1
        return [Say(node, sleeper.tries, sleeper.since, sleeper.why)]
