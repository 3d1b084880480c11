"""The order of versions: plain, Debian's or that of Python packages (docs/packages.md, "Versions").  Pure.

Rules
- *plain*: a version is runs of digits and runs of other marks in turn; digits compare as numbers, of marks letters
  come first, and "~" before everything, the end included: 1.0~rc1 < 1.0 < 1.0.1 < 1.10.  A leading "v" means nothing.
- *debian*: an epoch before ":", a revision after the last "-", each part as above.
- *packaging*: as PEP 440 says (1.0rc1 < 1.0 < 1.0.post1); what is no such version comes before all that are, plain.
- Any text is a version in each of them, so nothing here raises; zeros before a number mean nothing.
- A requirement is `NAME`, or `NAME >= VERSION` with one of >= <= == > < != between.  Whoever knows the order of the
  package's versions writes it behind, "(debian)", so that every tier compares alike; nothing said is plain.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

from tiercast_protocol.errors import UsageError
from tiercast_protocol.wire.topics import valid_name

if TYPE_CHECKING:
    from packaging.version import Version

_RUN = re.compile(r"(\d+)|(\D+)")
PLAIN, DEBIAN, PACKAGING = "plain", "debian", "packaging"
ORDERS = (PLAIN, DEBIAN, PACKAGING)
_REQUIREMENT = re.compile(
    r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:(>=|<=|==|!=|>|<)\s*([A-Za-z0-9][A-Za-z0-9._+~:!-]{0,63}))?"
    r"\s*(?:\((plain|debian|packaging)\))?\s*\Z"
)
#: Digits of one number that count: no version has more, and long ones would cost.
_MOST_DIGITS = 64


_Pairs = tuple[tuple[tuple[int, ...], int], ...]


@lru_cache(maxsize=4096)
def _key(version: str) -> _Pairs:
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


def compare(one: str, other: str, order: str = PLAIN) -> int:
    """-1, 0 or 1: `one` is older than, as new as, or newer than `other`; an unknown order is plain."""
    if order == DEBIAN:
        return _compare_debian(one, other)
    if order == PACKAGING:
        a, b = _python(one), _python(other)
        if a is not None and b is not None:
            return (a > b) - (a < b)
        if a is not b:
            return 1 if b is None else -1
    return _compare_plain(one, other)


def fits(version: str, order: str) -> bool:
    """Whether the text is a version as this order means them, and not only comparable."""
    if order == PACKAGING:
        return _python(version) is not None
    return order != DEBIAN or _DEBIAN.match(version) is not None


_DEBIAN = re.compile(r"(?:\d+:)?\d[A-Za-z0-9.+~:-]*\Z")


def _compare_debian(one: str, other: str) -> int:
    for a, b in zip(_parts(one), _parts(other), strict=True):
        if found := _compare_plain(a, b):
            return found
    return 0


def _parts(version: str) -> tuple[str, str, str]:
    """Epoch, version of whoever made it, revision of whoever packaged it."""
    epoch, colon, rest = version.partition(":")
    if not colon or not epoch.isdecimal():
        epoch, rest = "0", version
    upstream, dash, revision = rest.rpartition("-")
    return (epoch, upstream, revision) if dash else (epoch, rest, "0")


@lru_cache(maxsize=4096)
def _python(version: str) -> Version | None:
    from packaging.version import InvalidVersion, Version  # noqa: PLC0415 - few packages are ordered so

    try:
        return Version(version)
    except InvalidVersion:
        return None


def _compare_plain(one: str, other: str) -> int:
    a, b = list(_key(one)), list(_key(other))
    width = max(len(a), len(b))
    a += [((0,), 0)] * (width - len(a))
    b += [((0,), 0)] * (width - len(b))
    return (a > b) - (a < b)


@dataclass(frozen=True, slots=True)
class Requirement:
    """A package that must be there (or must not), and which versions of it count.

    `operator` "" is any; `order` is that of the package's versions, "" where nobody said it.
    """

    package: str
    operator: str = ""
    version: str = ""
    order: str = ""

    def __str__(self) -> str:
        said = f"{self.package} {self.operator} {self.version}" if self.operator else self.package
        return f"{said} ({self.order})" if self.order and self.operator else said

    def met_by(self, version: str) -> bool:
        """Whether this version of the package counts."""
        order = compare(version, self.version, self.order)
        return {
            "": True,
            ">=": order >= 0,
            "<=": order <= 0,
            "==": order == 0,
            "!=": order != 0,
            ">": order > 0,
            "<": order < 0,
        }[self.operator]

    def ordered(self, order: str) -> Requirement:
        """The same, with the order of the package's versions, where it says none of its own; plain is not written."""
        return self if self.order or order in {"", PLAIN} else replace(self, order=order)


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
    return Requirement(match[1], match[2] or "", match[3] or "", match[4] or "")
