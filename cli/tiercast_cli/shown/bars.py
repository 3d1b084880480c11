"""Bars in a terminal: how many of what, each as long as its share of the largest.

Rules
- As wide as the terminal, 80 columns where there is none; a bar that stands for something is never empty.
- Eighths of a column where the output can say them, whole ones of "#" where it can't.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence

_EIGHTHS = " ▏▎▍▌▋▊▉█"
_LABEL, _LEAST = 32, 10


def bars(rows: Sequence[tuple[str, int]], width: int = 0) -> str:
    """A line for each row: its name, its bar, its number; `width` 0 is that of the terminal."""
    if not rows:
        return "(nothing)"
    width = width or shutil.get_terminal_size((80, 24)).columns
    label = min(_LABEL, max(len(name) for name, _ in rows))
    largest = max(number for _, number in rows)
    digits = len(f"{largest:,}")
    room = max(_LEAST, width - label - digits - 4)
    fine = (sys.stdout.encoding or "").lower().startswith("utf")
    return "\n".join(
        f"{_cut(name, label):<{label}}  {_bar(number, largest, room, fine=fine):<{room}}  {number:>{digits},}"
        for name, number in rows
    )


def _cut(name: str, most: int) -> str:
    return name if len(name) <= most else f"{name[: most - 3]}..."


def _bar(number: int, largest: int, room: int, *, fine: bool) -> str:
    if number <= 0:
        return ""
    if not fine:
        return "#" * max(1, round(number / largest * room))
    whole, part = divmod(max(1, round(number / largest * room * 8)), 8)
    return "█" * whole + (_EIGHTHS[part] if part else "")
