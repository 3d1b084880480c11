"""Virtual time, faults and links: what stands between two simulated nodes.

Rules
- One seed, one story: every choice comes from one random generator, and events at one time run in the order in
  which they were asked for.
- A link is a broker's queue for one subscriber, served at the link's speed: bounded, and it drops silently.
- Faults are counted where they happen, so that a run can prove what it went through.
"""

from __future__ import annotations

import random
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count
from typing import Any


@dataclass(frozen=True, slots=True)
class Faults:
    """How often what goes wrong: probabilities per message, and happenings per story."""

    loss: float = 0.02
    duplicate: float = 0.02
    reorder: float = 0.02
    corrupt: float = 0.01
    unpublished: float = 0.01
    cuts: int = 4
    one_way_cuts: int = 4
    restarts: int = 4
    slow: int = 4
    #: Words of people about jobs and links (`steering`): no faults, and yet all may come together.
    steered: int = 0


NO_FAULTS = Faults(loss=0, duplicate=0, reorder=0, corrupt=0, unpublished=0, cuts=0, one_way_cuts=0, restarts=0, slow=0)


class World:
    """The clock and its events."""

    def __init__(self, seed: int, faults: Faults) -> None:
        self.now = 0.0
        self.random = random.Random(seed)
        self.faults = faults
        self.injected: Counter[str] = Counter()
        #: False once the story's faults are over: what is left must heal.
        self.troubled = True
        self._heap: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._number = count()

    def after(self, delay: float, do: Callable[..., None], *args: Any) -> None:
        heappush(self._heap, (self.now + delay, next(self._number), do, args))

    def at(self, time: float, do: Callable[..., None], *args: Any) -> None:
        heappush(self._heap, (max(time, self.now), next(self._number), do, args))

    def run(self, until: float, most: int) -> bool:
        """Run to the end of all events; False if the time `until` or `most` events came first."""
        while self._heap:
            most -= 1
            if not most:
                return False
            time, _, do, args = heappop(self._heap)
            if time > until:
                return False
            self.now = time
            do(*args)
        return True

    def strikes(self, kind: str, chance: float) -> bool:
        """Whether a fault of this kind happens now; counted if so."""
        if self.troubled and chance and self.random.random() < chance:
            self.injected[kind] += 1
            return True
        return False


@dataclass(slots=True)
class Traffic:
    """Bytes over one link: payload sent down, all bytes each way, and what became of the payload by faults.

    `stray` is payload of a group that the child had just been dismissed from; `breaks` counts restarts at either
    end, cuts, and wants taken back: each may waste what was under way.
    """

    frames: int = 0
    payload: int = 0
    down: int = 0
    up: int = 0
    lost: int = 0
    late: int = 0
    dropped: int = 0
    spoiled: int = 0
    stray: int = 0
    breaks: int = 0


@dataclass(slots=True, eq=False)
class Link:
    """The way between a parent's broker and one child, both directions.

    `rate` is bytes per second downwards, `latency` seconds; `most` messages and `room` bytes is what the broker
    holds for the child before it drops.
    """

    world: World
    rate: float
    latency: float
    most: int = 1000
    room: int = 4 << 20
    up_open: bool = True
    down_open: bool = True
    #: Changes at every cut: what the broker held for the old connection is gone.
    epoch: int = 0
    connected: bool = True
    clumsy: bool = False
    traffic: Traffic = field(default_factory=Traffic)
    queued: int = 0
    longest: int = 0
    _free_at: float = 0.0
    _queue: deque[tuple[float, int]] = field(default_factory=deque)

    def cut(self) -> None:
        self.connected = False
        self.traffic.breaks += 1
        self.epoch += 1
        self._queue.clear()
        self.queued = 0
        self._free_at = self.world.now

    def down(self, size: int, deliver: Callable[[], None], lose: Callable[[], None]) -> None:
        """A bulk message of `size` bytes to the child; one of the two is called."""
        world = self.world
        self.traffic.down += size
        if not self.connected or not self.down_open or world.strikes("loss", world.faults.loss):
            self.traffic.lost += size
            lose()
            return
        while self._queue and self._queue[0][0] <= world.now:
            self.queued -= self._queue.popleft()[1]
        if len(self._queue) >= self.most or self.queued + size > self.room:
            self.traffic.dropped += size
            lose()
            return
        self._free_at = max(self._free_at, world.now) + size / self.rate
        self._queue.append((self._free_at, size))
        self.queued += size
        self.longest = max(self.longest, self.queued)
        arrival = self._free_at - world.now + self.latency
        if world.strikes("reorder", world.faults.reorder):
            self.clumsy = True
            self.traffic.late += size
            arrival += world.random.uniform(0.01, 0.6)
        world.after(arrival, self._arrive, self.epoch, size, deliver, lose)
        if world.strikes("duplicate", world.faults.duplicate):
            self.clumsy = True
            world.after(arrival + world.random.uniform(0, 0.3), self._arrive, self.epoch, 0, deliver, _nothing)

    def _arrive(self, epoch: int, size: int, deliver: Callable[[], None], lose: Callable[[], None]) -> None:
        if epoch == self.epoch and self.connected:
            deliver()
        else:
            self.traffic.lost += size
            lose()

    def up(self, size: int, deliver: Callable[[], None]) -> None:
        """A report to the parent: QoS 0, so it may be lost, late or doubled too."""
        world = self.world
        self.traffic.up += size
        if not self.connected or not self.up_open or world.strikes("loss", world.faults.loss):
            return
        delay = self.latency
        if world.strikes("reorder", world.faults.reorder):
            delay += world.random.uniform(0.01, 0.6)
        world.after(delay, self._arrive, self.epoch, 0, deliver, _nothing)
        if world.strikes("duplicate", world.faults.duplicate):
            world.after(delay + world.random.uniform(0, 0.3), self._arrive, self.epoch, 0, deliver, _nothing)

    def control(self, deliver: Callable[[], None]) -> None:
        """A control message: repeated until it arrives."""
        self.world.after(self.latency, self._try_control, deliver)

    def _try_control(self, deliver: Callable[[], None]) -> None:
        if self.connected and self.up_open and self.down_open:
            deliver()
        else:
            self.world.after(0.2, self._try_control, deliver)


def _nothing() -> None:
    """What is lost twice is lost once."""
