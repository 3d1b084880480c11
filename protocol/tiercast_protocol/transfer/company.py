"""What the lanes of one sender say together, by which one of them is judged (docs/protocol-transfer.md, section 6.10).

Rules
- Where there are few lanes every question is answered anew, and without the one who is judged.
- In a crowd an answer stands for `STANDS` seconds, and one more or less of them is no matter: on a machine that is
  behind everybody is late and asks, and answering each by looking at all would put it further behind.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tiercast_protocol.transfer.cutting import FIRST_FRAME
from tiercast_protocol.transfer.events import Child
from tiercast_protocol.transfer.lanes import Lane, usual
from tiercast_protocol.transfer.lanestates import LAG_AFTER

#: So many lanes are a crowd.
CROWD = 24
#: Seconds for which an answer stands in a crowd.
STANDS = LAG_AFTER / 2
#: All but one such part of the others must wait before one of them is late.
_MOST = 4


class Company:
    """All lanes of a sender."""

    def __init__(self, lanes: Mapping[Child, Lane]) -> None:
        self._lanes = lanes
        self._usual, self._usual_at = 0.0, float("-inf")
        self._waits = False
        self._progress_at = self._waits_at = float("-inf")

    def usual(self, now: float, but: Lane | None = None) -> float:
        """Seconds without news that mean nothing: see `lanes.usual`."""
        if len(self._lanes) < CROWD:
            return usual(self._lanes.values(), but)
        if now - self._usual_at >= STANDS:
            self._usual, self._usual_at = usual(self._lanes.values()), now
        return self._usual

    def waits_for(self, lane: Lane, now: float) -> bool:
        """Whether most others have hardly anything under way and go on, so that this one alone is late."""
        since = lane.flow.oldest + LAG_AFTER / 2
        if len(self._lanes) < CROWD:
            waits, progress_at = _look(other for other in self._lanes.values() if other is not lane)
            return waits and progress_at > since
        if now - self._waits_at >= STANDS:
            (self._waits, self._progress_at), self._waits_at = _look(self._lanes.values()), now
        return self._waits and self._progress_at > since


def _look(lanes: Iterable[Lane]) -> tuple[bool, float]:
    """Whether most of them wait for more, and when one of them went on last."""
    others = [lane for lane in lanes if lane.state == "active"]
    waiting = sum(1 for lane in others if lane.flow.dry(FIRST_FRAME))
    most = _MOST * waiting > (_MOST - 1) * len(others)
    return most, max((lane.flow.progress_at for lane in others), default=float("-inf"))
