"""What an assignment says of a package, and which version would do for all of them together.  Pure.

Rules
- "has editor >= 2": some version is there that the conditions are true of; "lacks editor < 2": none is.
- Of the versions in the library the latest that does for every assignment of a machine is chosen; where an assignment
  wants the package to be there and none does, they contradict each other.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cmp_to_key, lru_cache

from tiercast_protocol.content.versions import Requirement, compare, read_requirement
from tiercast_protocol.errors import UsageError
from tiercast_server.assignment_life import NONE, REMOVED

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
        more = [f"{one.operator} {one.version}" for one in self.wants[1:]]
        return ", ".join([str(self.wants[0]), *more])

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


def latest(versions: Iterable[str]) -> str:
    """The latest of them; "" for none."""
    return max(versions, key=cmp_to_key(compare), default="")


def choice(rules: Collection[Rule], library: Iterable[str]) -> str | None:
    """What is to stand where all these hold: the latest version that does, REMOVED, or NONE."""
    if all(rule.lacks for rule in rules):
        return REMOVED
    return latest(one for one in library if all(rule.met_by(one) for rule in rules)) or NONE


def contradictions(
    rules: Mapping[str, Rule], of_nodes: Mapping[str, frozenset[str]], library: Collection[str]
) -> list[tuple[Rule, Rule, str]]:
    """Pairs of rules that no version does for, each with a machine for which both are.

    Args:
        rules: of one package, by name.
        of_nodes: by node, the names of the rules for it.
        library: versions that can be had.
    """
    found: dict[tuple[str, str], str] = {}
    judged: dict[frozenset[str], list[tuple[str, str]]] = {}
    for node in sorted(of_nodes):
        names = of_nodes[node]
        if names not in judged:
            judged[names] = _pairs([rules[name] for name in sorted(names)], library)
        for pair in judged[names]:
            found.setdefault(pair, node)
    return [(rules[a], rules[b], node) for (a, b), node in sorted(found.items())]


def _pairs(rules: list[Rule], library: Collection[str]) -> list[tuple[str, str]]:
    if len(rules) < 2 or choice(rules, library) is not None:  # noqa: PLR2004 - one alone contradicts nobody
        return []
    apart = [(a.name, b.name) for n, a in enumerate(rules) for b in rules[n + 1 :] if choice((a, b), library) is None]
    # Three may have nothing together though any two have: the first two are named then.
    return apart or [(rules[0].name, rules[1].name)]
