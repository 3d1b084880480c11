"""Figures and tables as people read them.

Rules
- Sizes in powers of 1024, rates in powers of 1000, with their unit, three significant digits.
- Times as "3 min 20 s" or a local date.
- A table is plain text in columns: it survives pipes, logs and screen readers.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

_COLUMN = 60
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_RATES = ("B/s", "kB/s", "MB/s", "GB/s", "TB/s")


def size(count: float) -> str:
    """`count` bytes: "512 B", "1.5 MiB"."""
    value, unit = float(count), 0
    while abs(value) >= 1024 and unit < len(_UNITS) - 1:  # noqa: PLR2004 - one unit to the next
        value, unit = value / 1024, unit + 1
    if unit == 0:
        return f"{int(value)} B"
    digits = 0 if value >= 100 else 1 if value >= 10 else 2  # noqa: PLR2004 - three significant digits
    return f"{value:.{digits}f} {_UNITS[unit]}"


def rate(count: float) -> str:
    """`count` bytes per second, decimal as links are sold and limits typed: "2 MB/s", "1.25 MB/s", "512 kB/s"."""
    value, unit = float(count), 0
    while value >= 999.5 and unit < len(_RATES) - 1:  # noqa: PLR2004 - one unit to the next, as it is rounded
        value, unit = value / 1000, unit + 1
    return f"{value:.3g} {_RATES[unit]}"


def count(number: int, noun: str) -> str:
    """`number` with its noun: "1 file", "2 files"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def of_which(number: int, whole: int, noun: str, one: str, many: str) -> str:
    """A part of a whole and what it does: "1 of 1 target waits", "3 of 12,000 targets wait"."""
    return f"{number:,} of {count(whole, noun)} {one if number == 1 else many}"


def span(seconds: float) -> str:
    """A length of time: "0.4 s", "3 min 20 s", "2 h 5 min", "3 d 4 h"."""
    if seconds < 60:  # noqa: PLR2004 - a minute
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"  # noqa: PLR2004 - two digits
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def moment(milliseconds: int) -> str:
    """A point in time, local; "-" for none."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(milliseconds / 1000)) if milliseconds else "-"


def ago(milliseconds: int, *, now: float) -> str:
    """How long before `now` (seconds since 1970) a moment was; "never" for none."""
    return f"{span(max(0.0, now - milliseconds / 1000))} ago" if milliseconds else "never"


def share(done: int, total: int) -> str:
    """How much of `total` is done, in per cent; empty where there is nothing to do."""
    return f"{100 * done // total}%" if total > 0 else ""


def part(row: Mapping[str, Any]) -> str:
    """How much of how many bytes a row has: "47% of 9.5 MiB"; empty where there is nothing to do."""
    done, total = int(row.get("done") or 0), int(row.get("total") or 0)
    return f"{share(done, total)} of {size(total)}" if total > 0 else ""


def chosen(said: Mapping[str, Any] | None) -> str:
    """What the owner of a machine chose of a job: "(alice: deferred twice, until 2026-12-24 18:00)"."""
    if not said:
        return ""
    parts = [said["answer"]] if said["answer"] else []
    if said["held"]:
        parts.append(f"held since {moment(said['held'])}")
    if said["times"]:
        often = {1: "once", 2: "twice"}.get(said["times"], f"{said['times']} times")
        parts.append(f"deferred {often}" + (f", until {moment(said['until'])}" if said["until"] else ""))
    if said["prefers"]:
        parts.append("waits for the times that he prefers")
    return f"({said['by'] or 'the owner'}: {'; '.join(parts)})" if parts else ""


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Columns wide enough for what stands in them; numbers to the right."""
    cells = [[str(cell) for cell in row] for row in rows]
    widths = [max([len(h), *(len(row[n]) for row in cells)]) for n, h in enumerate(head)]
    numeric = [bool(cells) and all(_is_number(row[n]) for row in cells) for n in range(len(head))]

    def line(row: Sequence[str]) -> str:
        parts = [
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, numeric, strict=True)
        ]
        return "  ".join(parts).rstrip()

    return "\n".join([line([h.upper() for h in head]), *(line(row) for row in cells)])


def _is_number(cell: str) -> bool:
    return bool(cell) and (cell[0].isdigit() or cell == "-")


def subject(job: dict[str, Any]) -> str:
    """What a job is about: package and version, else its program or text, shortened to a column."""
    text = f"{job.get('package', '')} {job.get('version', '')}".strip() or str(job.get("about", ""))
    return text if len(text) <= _COLUMN else f"{text[: _COLUMN - 3]}..."


def state_of(job: dict[str, Any]) -> str:
    """The state of a job, as people are to read it: one that was cancelled and has not ended is not merely open."""
    return "cancelling" if job.get("cancelling") and job["state"] == "open" else str(job["state"])


def print_map(values: dict[str, Any]) -> None:
    """Print what is set in `values`, a line each; lists and maps in one line."""
    for key, value in sorted(values.items()):
        shown = value
        if isinstance(value, list):
            shown = ", ".join(map(str, value))
        elif isinstance(value, dict):
            shown = "  ".join(f"{name}={one}" for name, one in sorted(value.items()))
        if shown not in ("", None):
            print(f"  {key:<10}  {shown}")
