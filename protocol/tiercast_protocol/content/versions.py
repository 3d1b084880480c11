"""The order of versions: plain text, numbers in it by their value (docs/jobs.md, "Facts and conditions").  Pure.

Rules
- As Debian orders them: a version is runs of digits and runs of other marks in turn; digits compare as numbers, of
  marks letters come first, and "~" before everything, the end included: 1.0~rc1 < 1.0 < 1.0.1 < 1.10.
- A leading "v" and zeros before a number mean nothing.  Any text is a version, so nothing here raises.
- A requirement is `NAME`, or `NAME >= VERSION` with one of >= <= == > < != between.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from tiercast_protocol.errors import UsageError
from tiercast_protocol.wire.topics import valid_name

_RUN = re.compile(r"(\d+)|(\D+)")
_REQUIREMENT = re.compile(
    r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:(>=|<=|==|!=|>|<)\s*([A-Za-z0-9][A-Za-z0-9._+~-]{0,63}))?\s*\Z"
)
#: Digits of one number that count: no version has more, and long ones would cost.
_MOST_DIGITS = 64


@lru_cache(maxsize=4096)
def _key(version: str) -> tuple[tuple[tuple[int, ...], int], ...]:
    """Pairs of marks and the number after them; marks as numbers of which "~" is the least, and their end next."""
    pairs: list[tuple[tuple[int, ...], int]] = []
    marks: tuple[int, ...] = (0,)
    text = version.removeprefix("v") if version[1:2].isdecimal() else version
    for digits, other in _RUN.findall(text):
        if other:
            marks = (*map(_weight, other), 0)
        else:
            pairs.append((marks, int(digits[:_MOST_DIGITS])))
            marks = (0,)
    if marks != (0,):
        pairs.append((marks, 0))
    pairs.append(((0,), 0))
    return tuple(pairs)


def _weight(mark: str) -> int:
    if mark == "~":
        return -1
    return ord(mark) if mark.isalpha() else ord(mark) + 0x110000


def compare(one: str, other: str) -> int:
    """-1, 0 or 1: `one` is older than, as new as, or newer than `other`."""
    a, b = list(_key(one)), list(_key(other))
    width = max(len(a), len(b))
    a += [((0,), 0)] * (width - len(a))
    b += [((0,), 0)] * (width - len(b))
    return (a > b) - (a < b)


@dataclass(frozen=True, slots=True)
class Requirement:
    """A package that must be there (or must not), and which versions of it count; `operator` "" is any."""

    package: str
    operator: str = ""
    version: str = ""

    def __str__(self) -> str:
        return f"{self.package} {self.operator} {self.version}" if self.operator else self.package

    def met_by(self, version: str) -> bool:
        """Whether this version of the package counts."""
        order = compare(version, self.version)
        return {
            "": True,
            ">=": order >= 0,
            "<=": order <= 0,
            "==": order == 0,
            "!=": order != 0,
            ">": order > 0,
            "<": order < 0,
        }[self.operator]


def read_requirement(text: str) -> Requirement:
    """The requirement in `text`.

    Raises:
        UsageError: requirement.invalid.
    """
    match = _REQUIREMENT.match(text)
    if match is None or not valid_name(match[1]):
        raise UsageError(
            code="requirement.invalid",
            what=f"{text[:80]!r} is no requirement.",
            todo='Write "NAME", or "NAME >= VERSION" with one of >= <= == > < != between.',
        )
    return Requirement(match[1], match[2] or "", match[3] or "")
