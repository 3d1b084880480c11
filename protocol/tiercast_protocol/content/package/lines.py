"""On which line of a TOML file a key stands: the parser of the standard library does not say.  Pure.

Rules
- A name is dotted: `run_before.argv`; of a list of tables the number stands beside it: `action[2].path`.
- Only what begins a line counts.  A key inside an inline table or list has the line of the key that holds it.
- What stands in texts of several lines and in comments is no key.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_HEADER = re.compile(r"\s*(\[\[?)\s*(.+?)\s*\]\]?\s*(?:#.*)?\Z")
_KEY = re.compile(r"""\s*((?:"[^"]*"|'[^']*'|[A-Za-z0-9_-]+)(?:\s*\.\s*(?:"[^"]*"|'[^']*'|[A-Za-z0-9_-]+))*)\s*=""")
_PART = re.compile(r""""([^"]*)"|'([^']*)'|([^."'\s]+)""")
_LONG = re.compile(r"""(\"{3}|'{3})""")


def lines_of(text: str) -> dict[str, int]:
    """The line of every table and key, by its dotted name; as far as they stand on lines of their own."""
    found: dict[str, int] = {}
    numbers: dict[str, int] = {}
    table = ""
    within = ""  # the quotes of a long text that is open
    for number, line in enumerate(text.splitlines(), 1):
        if not within:
            if header := _HEADER.match(line):
                table = _table(header[2], numbers, listed=header[1] == "[[")
                found.setdefault(table, number)
            elif key := _KEY.match(line):
                found.setdefault(f"{table}.{_dotted(key[1])}" if table else _dotted(key[1]), number)
        for quotes in _LONG.findall(line):
            if not within:
                within = quotes
            elif within == quotes:
                within = ""
    return found


def line_of(lines: Mapping[str, int], name: str) -> int:
    """The line of `name`, else of the nearest table around it; 0 where nothing is known."""
    while name and name not in lines:
        name = name.removesuffix("]").rpartition("[")[0] if name.endswith("]") else name.rpartition(".")[0]
    return lines.get(name, 0)


def _dotted(text: str) -> str:
    return ".".join("".join(part) for part in _PART.findall(text))


def _table(text: str, numbers: dict[str, int], *, listed: bool) -> str:
    """The dotted name of a header, with the numbers of the lists of tables on the way."""
    name = ""
    parts = ["".join(part) for part in _PART.findall(text)]
    for place, part in enumerate(parts):
        name = f"{name}.{part}" if name else part
        if listed and place == len(parts) - 1:
            numbers[name] = numbers.get(name, 0) + 1
        if name in numbers:
            name = f"{name}[{numbers[name]}]"
    return name
