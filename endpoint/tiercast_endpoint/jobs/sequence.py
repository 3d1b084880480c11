"""Which of a machine's open installations go first: what packages say under `before`.  Pure.

Rules (docs/packages.md, "Dependencies")
- A package that says `before = ["word"]` is installed before word where both are ordered; where word stands already,
  or is not ordered, it says nothing.
- What is needed comes first too.  Where such words lead in a circle, nobody in it waits: a job never waits for itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Queued:
    """An open installation; names of packages that are to come after it, and of those that it needs."""

    job: str
    package: str
    before: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()


def goes_after(me: Queued, others: Sequence[Queued]) -> Queued | None:
    """The first job that is to be carried out before `me`; None where there is none."""
    for one in others:
        if one.job != me.job and me.package in one.before and not _waits(one, me, others):
            return one
    return None


def _waits(one: Queued, end: Queued, others: Sequence[Queued]) -> bool:
    """Whether `one` waits for `end`, over any number of others."""
    seen, queue = {one.job}, [one]
    while queue:
        here = queue.pop()
        for other in (end, *others):
            if other.job in seen or not (here.package in other.before or other.package in here.needs):
                continue
            if other.job == end.job:
                return True
            seen.add(other.job)
            queue.append(other)
    return False
