"""How many nodes whose own parent is away may come here, and how fast (docs/protocol.md, section 12).  Pure.

Rules
- A guest takes its place before it comes.  There are never more than `places`, taken or lived in, and no more than
  `per_minute` are given out, so that the children of a dead gateway never run over the next one, or the server.
- A place that nobody came to is free again after a minute, one whose guest went away after ten; one whose guest was
  placed elsewhere at once.
- Who gets none is told why, and when to ask again: those who were turned away are counted, and spread over the time
  that the rate needs for them.  Who holds a place may ask as often as it likes.
- A node that is cut off itself lets nobody in, nor does one let in whoever is above it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

#: Seconds that a place waits for its guest, at first and after it went.
COME_SECONDS = 60.0
AWAY_SECONDS = 600.0
#: Least and most seconds until somebody who was turned away may ask again.
LEAST_WAIT, MOST_WAIT = 5.0, 600.0
#: Most bytes sent to be measured.
MOST_FILLER = 64 << 10


@dataclass(frozen=True, slots=True)
class Answer:
    """Whether there is a place; if not, why, and for how many seconds."""

    granted: bool
    wait: int = 0
    reason: str = ""


class Guests:
    """The places of one node.

    Args:
        places: how many at once; 0 lets nobody in.
        per_minute: how many are given out in a minute; up to a quarter of that at once.
    """

    def __init__(self, places: int, per_minute: float) -> None:
        self.limit, self._per_second = places, per_minute / 60.0
        self._burst = max(1.0, per_minute / 4.0)
        self._tokens, self._at = self._burst, -math.inf
        #: When each place is free again; never, while its guest is there.
        self._until: dict[str, float] = {}
        #: Who was turned away, and until when it counts.
        self._line: dict[str, float] = {}

    def __len__(self) -> int:
        """Places taken."""
        return len(self._until)

    def holds(self, name: str) -> bool:
        """Whether this guest has a place."""
        return name in self._until

    def all(self) -> list[str]:
        """Everyone with a place, by name."""
        return sorted(self._until)

    def ask(self, name: str, *, enter: bool, now: float, refuse: str = "") -> Answer:
        """A guest asks; `enter` takes the place.  `refuse` is why nobody is let in now."""
        self.expire(now)
        if refuse:
            return self._turn_away(name, now, refuse)
        if name in self._until:
            if enter:
                self._until[name] = max(self._until[name], now + COME_SECONDS)
            return Answer(granted=True)
        if len(self._until) >= self.limit:
            return self._turn_away(name, now, f"all {self.limit} places for guests are taken")
        if self._tokens < 1.0:
            return self._turn_away(name, now, f"{self._per_second * 60:.0f} guests a minute are let in")
        if enter:
            self._tokens -= 1.0
            self._line.pop(name, None)
            self._until[name] = now + COME_SECONDS
        return Answer(granted=True)

    def restore(self, names: list[str], now: float) -> None:
        """These held places before this process began."""
        self._until = dict.fromkeys(names, now + AWAY_SECONDS)

    def came(self, name: str) -> None:
        """The guest is there."""
        if name in self._until:
            self._until[name] = math.inf

    def went(self, name: str, now: float) -> None:
        """The guest is not there; it may come back."""
        if name in self._until:
            self._until[name] = now + AWAY_SECONDS

    def left(self, name: str) -> None:
        """The guest is elsewhere, or no guest any more."""
        self._until.pop(name, None)

    def expire(self, now: float) -> list[str]:
        """Let the rate grow, and free the places that nobody uses; whose they were."""
        if now > self._at:
            passed = now - self._at if self._at > -math.inf else 0.0
            self._tokens = min(self._burst, self._tokens + passed * self._per_second)
            self._at = now
        free = [name for name, until in self._until.items() if until <= now]
        for name in free:
            del self._until[name]
        self._line = {name: until for name, until in self._line.items() if until > now}
        return free

    def _turn_away(self, name: str, now: float, reason: str) -> Answer:
        ahead = len(self._line) if name not in self._line else list(self._line).index(name)
        wait = max(LEAST_WAIT, min(MOST_WAIT, (ahead + 1) / self._per_second if self._per_second else MOST_WAIT))
        self._line[name] = now + 2 * wait
        return Answer(granted=False, wait=math.ceil(wait), reason=reason)
