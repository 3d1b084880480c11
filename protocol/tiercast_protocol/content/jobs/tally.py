"""Machines counted, and counted by what an expression comes to: the answers to questions about inventories.  Pure.

Rules (docs/inventory.md)
- The language is that of conditions (`condition.py`); `by` may come to a text, a number, true or false, or to one of
  the maps, of which every entry counts: `by` software is how many machines have each version of each piece.
- A machine of which what is asked for is not known is in no group, and is counted with the fact's name.
- Bounded: an answer has so many groups, the largest first, and says how many machines are in others.
- The same for the server and for a gateway that is cut off from it.  Blocking (CPU).
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from tiercast_protocol.content.facts.condition import TIME_LIMIT_S, Condition
from tiercast_protocol.errors import UsageError

#: Most groups of an answer.
MOST = 5_000
#: Name and facts as JSON, with the software among them where the expressions ask for it.
Rows = Iterable[tuple[str, str]]


@dataclass(slots=True)
class Tally:
    """Of `machines` those in each group; `unknown` counts by fact."""

    machines: int = 0
    groups: Counter[str] = field(default_factory=Counter)
    unknown: Counter[str] = field(default_factory=Counter)

    def shown(self, most: int = MOST) -> dict[str, Any]:
        """{machines, groups: [{value, machines}], others, unknown}: the largest first, then by value."""
        rows = sorted(self.groups.items(), key=lambda row: (-row[1], row[0]))
        kept = rows[: max(0, min(most, MOST))]
        return {
            "machines": self.machines,
            "groups": [{"value": value, "machines": machines} for value, machines in kept],
            "others": len(rows) - len(kept),
            "unknown": dict(self.unknown),
        }


def meant(rows: Rows, where: Condition | None, unknown: Counter[str]) -> list[tuple[str, str]]:
    """The rows of whom `where` is true; all without one.

    Raises:
        UsageError: condition.slow or condition.invalid.
    """
    held = list(rows)
    if where is None:
        return held
    found = where.find(held)
    unknown += found.unknown
    names = set(found.names)
    return [row for row in held if row[0] in names]


def tally(rows: Rows, by: Condition, where: Condition | None = None) -> Tally:
    """The machines of `rows` (of whom `where` is true), by what `by` comes to.

    Raises:
        UsageError: condition.slow, condition.invalid or by.invalid.
    """
    found = Tally()
    end = time.thread_time() + 2 * TIME_LIMIT_S
    for name, facts in meant(rows, where, found.unknown):
        found.machines += 1
        value = by.value(name, facts, found.unknown)
        if value is not None:
            found.groups.update(_groups(by, name, value))
        if time.thread_time() > end:
            raise UsageError(
                code="condition.slow",
                what=f"The question costs too much: {found.machines} machines were looked at.",
                where=by.text,
                todo="Ask for less: --where, or one entry of a map instead of all.",
            )
    return found


def _groups(by: Condition, name: str, value: object) -> list[str]:
    if isinstance(value, dict):
        return [f"{key} {said}" for key, said in value.items()]
    if isinstance(value, bool):
        return ["true" if value else "false"]
    if isinstance(value, str | int):
        return [str(value)]
    if isinstance(value, float):
        return [f"{value:g}"]
    raise UsageError(
        code="by.invalid",
        what=f"It comes to {type(value).__name__} for {name}; groups are texts, numbers, or true and false.",
        where=by.text,
        todo='As in: distribution, packages["editor"], memory / 1000000000.',
    )
