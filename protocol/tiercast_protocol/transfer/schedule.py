"""Whose turn it is, and who must be looked at when.

Rules
- The ring holds who may have something to send, each once; a turn is one frame, so all get equal turns.
- A deadline may be moved earlier at any time; one that moved later is found out when it comes.  So nobody is
  scanned per event, and each event costs a logarithm at most.
"""

from __future__ import annotations

from collections import deque
from heapq import heappop, heappush
from itertools import count
from typing import Generic, Protocol, TypeVar


class Turn(Protocol):
    """A lane or a group."""

    ready: bool
    due: float
    alive: bool


T = TypeVar("T", bound=Turn)


class Schedule(Generic[T]):
    """The ring of turns and the heap of deadlines."""

    __slots__ = ("_heap", "_number", "_ring")

    def __init__(self) -> None:
        self._ring: deque[T] = deque()
        self._heap: list[tuple[float, int, T]] = []
        self._number = count()

    def ready(self, one: T) -> None:
        """`one` may have something to send."""
        if not one.ready:
            one.ready = True
            self._ring.append(one)

    def next_turn(self) -> T | None:
        """Whose turn it is; it leaves the ring (put it back with `ready`)."""
        while self._ring:
            one = self._ring.popleft()
            one.ready = False
            if one.alive:
                return one
        return None

    def take_all(self) -> list[T]:
        """Everybody whose turn it may be, in order; they leave the ring (put them back with `ready`)."""
        ring, self._ring = self._ring, deque()
        for one in ring:
            one.ready = False
        return [one for one in ring if one.alive]

    def look_at(self, one: T, time: float) -> None:
        """Look at `one` at `time` at the latest."""
        if time < one.due:
            one.due = time
            heappush(self._heap, (time, next(self._number), one))

    def overdue(self, now: float) -> list[T]:
        """Who must be looked at now."""
        due: list[T] = []
        while self._heap and self._heap[0][0] <= now:
            time, _, one = heappop(self._heap)
            if one.alive and one.due == time:
                one.due = float("inf")
                due.append(one)
        return due

    def next_deadline(self) -> float:
        """When somebody must be looked at; infinity for never."""
        while self._heap and (not self._heap[0][2].alive or self._heap[0][2].due != self._heap[0][0]):
            heappop(self._heap)
        return self._heap[0][0] if self._heap else float("inf")
