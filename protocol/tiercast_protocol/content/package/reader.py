"""Reading a table that a human wrote: keys by their kind, and every mistake with its key and line.

Rules
- A mistake never stops the reading: what is wrong is written down, and a value of the right kind stands in for it.
- Unknown keys are mistakes: a misspelt `timeout` must not be a silent default.
- A section of a definition lives in a file of its own: a function that takes a `Reader` (of the whole definition) and
  gives what it found, and one that writes that again as lines of TOML. `programs.py` is the model.
- A list of tables is told by number: `action[2].path` is the second's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from tiercast_protocol.content.package.lines import line_of
from tiercast_protocol.errors import Mistake

UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}
UNITS_B = {"": 1, "B": 1, "KiB": 1024, "kB": 1000, "MiB": 1024 * 1024, "MB": 1000 * 1000}
_AMOUNT = re.compile(r"(\d{1,9})\s*([A-Za-z]*)\Z")
_BARE = re.compile(r"[A-Za-z0-9_-]+\Z")


class Reader:
    """One table and the mistakes found in it; readers of the tables inside it share the mistakes.

    Attributes:
        table: what is read.
        under: the dotted name of the table with a dot after it, "" for the whole file.
        mistakes: all of the file, so far.
        lines: by dotted name the line where it stands, where known.
        texts: keys that hold a text, right or wrong.
    """

    def __init__(
        self,
        table: Mapping[str, object],
        under: str = "",
        mistakes: list[Mistake] | None = None,
        lines: Mapping[str, int] | None = None,
    ) -> None:
        self.table = table
        self.under = under
        self.mistakes: list[Mistake] = [] if mistakes is None else mistakes
        self.lines: Mapping[str, int] = {} if lines is None else lines
        self.texts: set[str] = set()

    def wrong(self, key: str, problem: str, expected: str) -> None:
        """Write a mistake down."""
        name = self.under + key
        self.mistakes.append(Mistake(name, problem, expected, line_of(self.lines, name)))

    def known(self, *keys: str) -> None:
        """Every other key is a mistake."""
        for key in self.table:
            if key not in keys:
                self.wrong(key, "unknown key", f"one of {', '.join(keys)}")

    def text(self, key: str, expected: str, default: str | None = None) -> str:
        """A text; without a `default` it must be there."""
        value = self.table.get(key, default)
        if isinstance(value, str):
            self.texts.add(key)
            return value
        self.wrong(key, "missing" if value is None else f"is {shown(value)}", expected)
        return ""

    def choice(self, key: str, choices: Sequence[str], default: str) -> str:
        """One of some words."""
        value = self.table.get(key, default)
        if isinstance(value, str) and value in choices:
            return value
        self.wrong(key, f"is {shown(value)}", f"one of {', '.join(choices)}")
        return default

    def whole(self, key: str, default: int, most: int, least: int = 1) -> int:
        """A whole number."""
        value = self.table.get(key, default)
        if type(value) is int and least <= value <= most:
            return value
        self.wrong(key, f"is {shown(value)}", f"a whole number from {least} to {most}")
        return default

    def flag(self, key: str, *, default: bool = False) -> bool:
        """True or false."""
        value = self.table.get(key, default)
        if isinstance(value, bool):
            return value
        self.wrong(key, f"is {shown(value)}", "true or false")
        return default

    def listed(self, key: str, rule: str, most: int) -> list[str]:
        """A list of at most `most` texts."""
        value = self.table.get(key, [])
        if isinstance(value, list) and len(value) <= most and all(isinstance(one, str) for one in value):
            return list(value)
        self.wrong(key, f"is {shown(value)}", rule)
        return []

    def amount(self, key: str, default: int, most: int, units: Mapping[str, int], example: str) -> int:
        """A number with a unit, as in "5m"."""
        value = self.table.get(key, default)
        match = _AMOUNT.match(str(value)) if type(value) in {int, str} else None
        factor = units.get(match[2]) if match else None
        if match and factor and 1 <= int(match[1]) * factor <= most and (type(value) is str or "" in units):
            return int(match[1]) * factor
        if key not in self.table:
            return default
        self.wrong(key, f"is {shown(value)}", f"{example}, at most {most}")
        return default

    def inner(self, key: str) -> Reader | None:
        """The reader of the table `[key]`; None where there is none."""
        table = self.table.get(key)
        if table is None:
            return None
        if not isinstance(table, dict):
            self.wrong(key, f"is {shown(table)}", f"a table: [{self.under}{key}]")
            return None
        return Reader(table, f"{self.under}{key}.", self.mistakes, self.lines)

    def each(self, key: str, most: int) -> Iterator[Reader]:
        """The readers of the tables `[[key]]`, in the file's order."""
        tables = self.table.get(key, [])
        if not isinstance(tables, list) or len(tables) > most:
            problem = f"has {len(tables)} entries" if isinstance(tables, list) else f"is {shown(tables)}"
            self.wrong(key, problem, f"at most {most} tables: [[{self.under}{key}]]")
            return
        for number, table in enumerate(tables, 1):
            if isinstance(table, dict):
                yield Reader(table, f"{self.under}{key}[{number}].", self.mistakes, self.lines)
            else:
                self.wrong(f"{key}[{number}]", f"is {shown(table)}", f"a table: [[{self.under}{key}]]")

    def named(self, key: str) -> Iterator[tuple[str, Reader]]:
        """The readers of the tables `[key.NAME]`, in the file's order."""
        outer = self.inner(key)
        for name in outer.table if outer else ():
            if outer and (one := outer.inner(name)):
                yield name, one


def shown(value: object) -> str:
    """A value as a mistake shows it: one line of 60 characters at most."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."  # noqa: PLR2004 - what fits a line


def quoted(text: str) -> str:
    """A TOML basic string."""
    out = []
    for mark in text:
        if mark in '"\\':
            out.append("\\" + mark)
        elif mark < " " or mark == "\x7f":
            out.append(f"\\u{ord(mark):04x}")
        else:
            out.append(mark)
    return f'"{"".join(out)}"'


def written(value: str | int | Sequence[str] | Mapping[str, str]) -> str:
    """A value as TOML: text, number, flag, list of texts, or table of texts."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, Mapping):
        inner = ", ".join(f"{bare(key)} = {quoted(one)}" for key, one in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    return f"[{', '.join(map(quoted, value))}]"


def bare(key: str) -> str:
    """A key as it stands in TOML."""
    return key if _BARE.match(key) else quoted(key)
