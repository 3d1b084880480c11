"""Which bytes of a chunk are here: a sorted set of half-open intervals.

Rules
- `[start, end)`, in bytes; intervals never touch or overlap, so the set has one shape.
- A chunk in progress has few of them (one hole per lost frame), so lists and bisection beat trees.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator

Span = tuple[int, int]


class RangeSet:
    """A set of byte positions, kept as intervals."""

    __slots__ = ("_ends", "_starts", "total")

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        #: How many bytes are in the set.
        self.total = 0

    def __iter__(self) -> Iterator[Span]:
        return iter(zip(self._starts, self._ends, strict=True))

    def __len__(self) -> int:
        return len(self._starts)

    def overlaps(self, start: int, end: int) -> bool:
        """Whether any byte of `[start, end)` is in the set."""
        at = bisect_right(self._ends, start)
        return start < end and at < len(self._starts) and self._starts[at] < end

    def covers(self, start: int, end: int) -> bool:
        """Whether every byte of `[start, end)` is in the set."""
        return start < end <= self.end_of(start)

    def end_of(self, position: int) -> int:
        """Where the interval that `position` is in ends; `position` itself where it is in none."""
        at = bisect_right(self._starts, position) - 1
        return max(position, self._ends[at]) if at >= 0 else position

    def add(self, start: int, end: int) -> int:
        """Put `[start, end)` in; returns how many bytes are new.

        Raises:
            ValueError: an empty or backward interval, or one before zero.
        """
        if not 0 <= start < end:
            raise ValueError(f"[{start}, {end}) is no interval")
        # Every interval that overlaps or touches [start, end) melts into it.
        first = bisect_left(self._ends, start)
        last = bisect_right(self._starts, end)
        held = sum(self._ends[i] - self._starts[i] for i in range(first, last))
        if first < last:
            start = min(start, self._starts[first])
            end = max(end, self._ends[last - 1])
        self._starts[first:last] = [start]
        self._ends[first:last] = [end]
        new = end - start - held
        self.total += new
        return new

    def missing(self, size: int) -> list[Span]:
        """The intervals of `[0, size)` that are not in the set, in order."""
        gaps: list[Span] = []
        at = 0
        for start, end in self:
            if start >= size:
                break
            if start > at:
                gaps.append((at, start))
            at = end
        if at < size:
            gaps.append((at, size))
        return gaps
