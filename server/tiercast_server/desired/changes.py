"""What a document would change, and what is wrong with it.  Pure.

Rules
- All mistakes are told at once, each with the line and the key that it is about; with one mistake nothing is changed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, ParamSpec

from tiercast_protocol.errors import UsageError

P = ParamSpec("P")


@dataclass(frozen=True, slots=True)
class Changed:
    """One definition that is added, changed or removed, and what differs."""

    kind: Literal["group", "window", "assignment"]
    name: str
    change: Literal["added", "changed", "removed"]
    differs: tuple[str, ...] = ()

    def shown(self) -> dict[str, Any]:
        """As verbs answer it."""
        return {"kind": self.kind, "name": self.name, "change": self.change, "differs": list(self.differs)}


@dataclass(slots=True)
class Mistakes:
    """What is wrong; `lines` are those of the file, by key."""

    lines: Mapping[str, int] = field(default_factory=dict)
    found: list[tuple[str, str]] = field(default_factory=list)

    def __len__(self) -> int:
        """How many."""
        return len(self.found)

    def add(self, key: str, what: str) -> None:
        """Note a mistake."""
        self.found.append((key, what))

    def check(self, key: str, function: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> bool:
        """Call `function`; whether it refused nothing: what it says is noted."""
        try:
            function(*args, **kwargs)
        except UsageError as error:
            self.add(key, f"{error.code}: {error.what.rstrip('.')}")
            return False
        return True

    def refuse(self) -> None:
        """Tell them all.

        Raises:
            UsageError: desired.invalid.
        """
        if not self.found:
            return
        count = f"{len(self.found)} mistake{'s' if len(self.found) > 1 else ''}"
        raise UsageError(
            code="desired.invalid",
            what="\n".join([f"{count} in the document:", *(self._text(key, what) for key, what in self.found)]),
            todo="Correct it and apply it again. Nothing was changed.",
        )

    def _text(self, key: str, what: str) -> str:
        line = self._line(key)
        return f"{f'line {line}, ' if line else ''}{key}: {what}"

    def _line(self, key: str) -> int:
        """The line of the key, or of the nearest that it stands below."""
        while key and key not in self.lines:
            key = key.rpartition(".")[0]
        return self.lines.get(key, 0)


def differing(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[str, ...]:
    """What differs between two tables, a text for each key."""
    return tuple(
        f"{key}: {_word(old, key)} -> {_word(new, key)}"
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key)
    )


def _word(table: Mapping[str, Any], key: str) -> str:
    return repr(table[key]) if key in table else "nothing"
