"""How many bytes per second go to each child now, out of what was charged in the last seconds.  Pure.

Rules
- What a lane measures for its credit is how fast frames go while they go; this is what went, pauses and all.
- Looked at while a job is open, and by whoever asks; looks that are too close to the last one are not kept.
- A child whose count is smaller than before began anew: it counts from there.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

#: Seconds that are looked back, and the least between two looks that are kept.
SPAN = 5.0
_APART = 0.5


class Going:
    """Of all lanes of a node."""

    def __init__(self) -> None:
        self._looks: deque[tuple[float, dict[str, int]]] = deque()

    def look(self, charged: Mapping[str, int], now: float) -> None:
        """So many bytes have gone to each child, at `now` (seconds, of a clock that never steps)."""
        if not self._looks or now - self._looks[-1][0] >= _APART:
            self._looks.append((now, dict(charged)))
        while len(self._looks) > 2 and now - self._looks[1][0] >= SPAN:  # noqa: PLR2004 - one before, one after
            self._looks.popleft()

    def rates(self) -> dict[str, int]:
        """Bytes per second by child, between the first and the last look; nothing where there was only one."""
        if not self._looks:
            return {}
        (began, before), (ended, after) = self._looks[0], self._looks[-1]
        if ended <= began:
            return {}
        return {child: int(max(0, sum_ - before.get(child, 0)) / (ended - began)) for child, sum_ in after.items()}
