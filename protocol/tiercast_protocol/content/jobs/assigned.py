"""What an assignment says of a package, and how a machine stands to it.  Pure (docs/desired-state.md).

Rules
- "has editor >= 2": some version is there that the conditions are true of; "lacks editor < 2": none is.
- It is judged the same way at every tier, out of what a machine says is installed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

from tiercast_protocol.content.facts.versions import Requirement, read_requirement
from tiercast_protocol.errors import UsageError

HOLDS, MISSING, WRONG, UNKNOWN = "holds", "missing", "wrong", "unknown"
_LONGEST, _MOST = 500, 16
#: "=" alone, which means "==".
_EQUALS = re.compile(r"(?<![<>=!])=(?!=)")
EXPECTED = 'a package and conditions on its version: "editor", "editor >= 2.1", "editor >= 2.1, < 3"'


@dataclass(frozen=True, slots=True)
class Rule:
    """What one assignment says: its name, what is required of a package, and whether that is to be lacking."""

    name: str
    wants: tuple[Requirement, ...]
    lacks: bool = False

    @property
    def package(self) -> str:
        """What it is about."""
        return self.wants[0].package

    @property
    def text(self) -> str:
        """What it requires, as `wants` reads it."""
        more = [str(one).removeprefix(f"{one.package} ") for one in self.wants[1:]]
        return ", ".join([str(self.wants[0]), *more])

    def ordered(self, order: str) -> Rule:
        """The same, once the order of the package's versions is known."""
        return replace(self, wants=tuple(one.ordered(order) for one in self.wants))

    def __str__(self) -> str:
        """As people read it."""
        return f"{'lacks' if self.lacks else 'has'} {self.text}"

    def met_by(self, version: str) -> bool:
        """Whether a machine on which this version stands ("": none) is as it wants it."""
        return (bool(version) and all(one.met_by(version) for one in self.wants)) != self.lacks


@lru_cache(maxsize=2048)
def wants(text: str) -> tuple[Requirement, ...]:
    """The requirements in `text`: of one package, with commas between the conditions.

    Raises:
        UsageError: requirement.invalid, with what is wrong.
    """
    first, *more = _EQUALS.sub("==", text).split(",")
    if len(text) > _LONGEST or len(more) >= _MOST:
        raise UsageError("requirement.invalid", f"{text[:80]!r} is too long.", todo=f"Write {EXPECTED}.")
    try:
        found = [read_requirement(first)]
        found += [read_requirement(f"{found[0].package} {part}") for part in more]
    except UsageError as error:
        raise UsageError("requirement.invalid", f"{text[:80]!r}: {error.what}", todo=f"Write {EXPECTED}.") from None
    if more and not all(one.operator for one in found):
        raise UsageError("requirement.invalid", f"{text[:80]!r} lacks a condition.", todo=f"Write {EXPECTED}.")
    return tuple(found)


def stands(rule: Rule, packages: Mapping[str, str] | None) -> tuple[str, str]:
    """The state of a machine on which these packages are installed, and the version there; None: it said nothing."""
    if packages is None:
        return UNKNOWN, ""
    version = packages.get(rule.package, "")
    return (HOLDS if rule.met_by(version) else WRONG if version else MISSING), version
