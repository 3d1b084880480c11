"""How long news gathers before it goes up, so that many receipts are few messages.  Pure.

Rules
- The first news after a silence goes at once, for it may be all there is; each further time the pause before the next
  is longer, up to a most.  A silence of as long as the pause, and the next one goes at once again.
- It never grows beyond what its messages are worth: where few targets speak, there is nothing to gather, and progress
  goes once a second.  Of a job with many targets below one record is worth less, for many follow it.
- What somebody must act on (a failure: breakers count them) waits for a second at most; progress at least for one.
- Nothing waits when it is the last of its job here.
"""

from __future__ import annotations

from enum import IntEnum

#: The pause after the first message, by what it grows, and where growth ends, in seconds.
FIRST, GROWTH, MOST = 0.05, 6.0, 15.0
#: Seconds of pause that each record of a message is worth, where it is one of so many or fewer.
EACH, FEW = 0.25, 50
#: The most at the server: there they are where they go, and gather only for the sake of its transactions.
SERVER_MOST = 0.25
#: Most for what did not go well, least for progress.
BAD_MOST, PROGRESS_LEAST = 1.0, 1.0


class News(IntEnum):
    """What waits to be told; the greatest of all that waits counts."""

    PROGRESS = 0
    DONE = 1
    BAD = 2
    LAST = 3


class Gathering:
    """When to tell; times are any clock's seconds that only rises."""

    def __init__(self, most: float = MOST) -> None:
        self._most = most
        self._pause = 0.0
        self._told = self._progress_told = float("-inf")

    def due(self, news: News) -> float:
        """The moment from which this may be told."""
        match news:
            case News.LAST:
                return float("-inf")
            case News.BAD:
                return self._told + min(self._pause, BAD_MOST)
            case News.DONE:
                return self._told + self._pause
            case News.PROGRESS:
                return max(self._told + self._pause, self._progress_told + PROGRESS_LEAST)

    def takes_progress(self, now: float) -> bool:
        """Whether progress may go along with what goes now."""
        return now >= self._progress_told + PROGRESS_LEAST

    def told(self, now: float, records: int, *, progress: bool, below: int = FEW) -> None:
        """A message of so many records went, with all progress in it or without; its job has so many targets below."""
        each = EACH * max(1.0, below / FEW)
        expected = max(self._told + 2 * self._pause, self._progress_told + 2 * PROGRESS_LEAST)
        silent = now >= expected + FIRST
        self._pause = FIRST if silent else min(self._most, self._pause * GROWTH, max(FIRST, records * each))
        self._told = now
        if progress:
            self._progress_told = now


def most_of(role: str) -> float:
    """The longest pause at a node of this role."""
    return SERVER_MOST if role == "server" else MOST
