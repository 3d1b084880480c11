"""How a person may call a job.  Pure.

Rules
- A job of the region is `jNUMBER-TAIL`; its number is the region's own, so "17", "j17" and "j-17" are enough to name
  one.
- Who knows only a few of the jobs (a gateway, an endpoint) finds the one of them that is called so; where two could be
  meant, none is.
"""

from __future__ import annotations

from collections.abc import Iterable

#: More digits are no number of a job, and none that a database takes.
_DIGITS = 15


def number_of(asked: str) -> int | None:
    """The number that was typed for a job; None for anything else."""
    digits = asked.removeprefix("j").removeprefix("-")
    sound = digits.isascii() and digits.isdecimal() and len(digits) <= _DIGITS
    return int(digits) if sound else None


def named(asked: str, known: Iterable[str]) -> str:
    """The one of the known jobs that is called `asked`, by its id or its number; "" for none."""
    jobs = set(known) - {""}
    if asked in jobs:
        return asked
    number = number_of(asked)
    found = [job for job in jobs if number is not None and job.startswith(f"j{number}-")]
    return found[0] if len(found) == 1 else ""
