"""High and low mark of a depot: when it begins to let go, and when it stops.

Rules
- A mark is a share of what the depot may hold ("95%") or a size ("180GiB").
- What it may hold is its quota; without one, what it holds and what the disk has left beyond the reserve.
- Low is never above high, and high never above what it may hold.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from tiercast_protocol.errors import UsageError
from tiercast_protocol.node.config import parse_size

_SHARE = re.compile(r"\s*([0-9]{1,3}(?:\.[0-9]+)?)\s*%\s*\Z")
_WHOLE = 100.0
WORDS = 'a share such as "95%" or a size such as "180GiB"'


def check(value: str) -> str | None:
    """What was expected, when `value` is no mark."""
    try:
        _parse(value)
    except ValueError:
        return WORDS
    return None


def _parse(value: str) -> tuple[float, int]:
    """(share, bytes), one of which is 0.  Raises ValueError."""
    if (found := _SHARE.match(value)) is not None:
        share = float(found[1]) / _WHOLE
        if not 0 < share <= 1:
            raise ValueError(f"{value!r} is no share")
        return share, 0
    size = parse_size(value)
    if size <= 0:
        raise ValueError(f"{value!r} is no size to hold")
    return 0.0, size


@dataclass(frozen=True, slots=True)
class Marks:
    """Both marks as they were set."""

    high: str = "100%"
    low: str = "90%"

    def bytes_of(self, capacity: int) -> tuple[int, int]:
        """(high, low) in bytes for a depot that may hold `capacity` bytes."""
        high, low = (int(share * capacity) if share else size for share, size in map(_parse, (self.high, self.low)))
        return min(high, capacity), min(low, high, capacity)

    def checked(self, quota: int | None) -> Marks:
        """These marks, if they can work with `quota` (None: the disk decides).

        Raises:
            UsageError: marks.invalid, with the figures.
        """
        high_share, high = _parse(self.high)
        low_share, low = _parse(self.low)
        if quota is not None:
            high, low = high or int(high_share * quota), low or int(low_share * quota)
        comparable = bool(high and low) or bool(high_share and low_share)
        if (quota is not None and high > quota) or (comparable and (low, low_share) > (high, high_share)):
            raise UsageError(
                code="marks.invalid",
                what=f"The depot lets go from {self.high} down to {self.low}"
                + (f" of {quota} bytes." if quota else "."),
                where="[depot] quota, high, low",
                todo="Set low to at most high, and high to at most the quota.",
            )
        return self
