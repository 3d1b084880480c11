"""What else must be installed for a package, for each machine by what stands there.  Pure.

Rules (docs/jobs.md, "Conditions")
- Of a package that several need, the newest version is taken that satisfies all of them, in the order of its own
  versions (`content/facts/versions.py`); then the revision counts.
- What stands on a machine, or is on its way there, and satisfies, is left alone, and what that one needs as well.
- What can't be satisfied, goes in a circle or can't stand side by side is refused with the names of all involved.
- Dependencies come before their dependents.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cmp_to_key

from tiercast_protocol.content.facts.versions import PLAIN, Requirement, compare
from tiercast_protocol.errors import UsageError

#: Versions of packages on a machine, installed or on their way.
Held = Mapping[str, frozenset[str]]
_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Candidate:
    """A sealed package of the library; `size` is stored bytes."""

    name: str
    version: str
    revision: int = 1
    requires: tuple[Requirement, ...] = ()
    conflicts: tuple[Requirement, ...] = ()
    size: int = 0
    order: str = PLAIN

    @property
    def reference(self) -> str:
        """How a human names it."""
        return f"{self.name}={self.version}"


@dataclass(frozen=True, slots=True)
class Need:
    """A package that is to be installed first, and where."""

    package: Candidate
    nodes: tuple[str, ...]


def newest(candidates: Sequence[Candidate]) -> list[Candidate]:
    """The newest version first."""
    return sorted(candidates, key=cmp_to_key(_older), reverse=True)


def _older(one: Candidate, other: Candidate) -> int:
    return compare(one.version, other.version, one.order) or one.revision - other.revision


def resolve(start: Candidate, library: Mapping[str, Sequence[Candidate]], held: Mapping[str, Held]) -> list[Need]:
    """What is missing for `start`, in the order of installation.

    Args:
        start: what is ordered.
        library: sealed packages by name; of every name that the closure reaches.
        held: by target, what stands there or is on its way.

    Raises:
        UsageError: dependency.unsatisfiable, dependency.cycle or dependency.conflict.
    """
    chosen, wanted = _choose(start, library)
    order = _ordered(start, chosen)
    names = [one.name for one in order]
    nodes_of: dict[str, list[str]] = {name: [] for name in names}
    groups: dict[tuple[tuple[str, frozenset[str]], ...], list[str]] = {}
    for node, there in held.items():
        key = tuple((name, there.get(name, frozenset())) for name in sorted(wanted))
        groups.setdefault(key, []).append(node)
    for key, nodes in groups.items():
        missing: dict[str, Candidate] = {}
        for requirement, by in _missing(start, chosen, dict(key)):
            found = chosen.get(requirement.package)
            if found is None:
                raise _unsatisfiable(requirement, by, wanted[requirement.package], library, nodes)
            missing[found.name] = found
        _check_conflicts([start, *missing.values()])
        for name in missing:
            nodes_of[name] += nodes
    return [Need(one, tuple(sorted(nodes_of[one.name]))) for one in order if nodes_of[one.name]]


def _choose(
    start: Candidate, library: Mapping[str, Sequence[Candidate]]
) -> tuple[dict[str, Candidate], dict[str, list[tuple[str, Requirement]]]]:
    """Of each name that is reached the version that satisfies all who name it; and who does."""
    chosen = {start.name: start}
    while True:
        wanted: dict[str, list[tuple[str, Requirement]]] = {}
        queue, seen = [start], {start.name}
        while queue:
            one = queue.pop()
            for requirement in one.requires:
                wanted.setdefault(requirement.package, []).append((one.name, requirement))
                found = chosen.get(requirement.package)
                if found is not None and found.name not in seen:
                    seen.add(found.name)
                    queue.append(found)
        before = chosen
        chosen = {start.name: start}
        for name, asked in wanted.items():
            fitting = [c for c in library.get(name, ()) if all(r.met_by(c.version) for _, r in asked)]
            if name != start.name and fitting:
                # Only ever an older one than before: so this ends.
                older = [c for c in fitting if name not in before or _older(c, before[name]) <= 0]
                if older:
                    chosen[name] = newest(older)[0]
        if chosen == before:
            return chosen, wanted


def _ordered(start: Candidate, chosen: Mapping[str, Candidate]) -> list[Candidate]:
    """What `start` needs, dependencies first; without itself."""
    done: dict[str, Candidate] = {}
    path: list[str] = []

    def visit(one: Candidate) -> None:
        if one.name in path:
            circle = " -> ".join([*path[path.index(one.name) :], one.name])
            raise UsageError(
                code="dependency.cycle",
                what=f"These packages need each other in a circle: {circle}.",
                todo="Build one of them again without what it requires. Nothing was done.",
            )
        if one.name in done:
            return
        path.append(one.name)
        for requirement in one.requires:
            if (found := chosen.get(requirement.package)) is not None:
                visit(found)
        path.pop()
        done[one.name] = one

    visit(start)
    return [one for name, one in done.items() if name != start.name]


def _missing(start: Candidate, chosen: Mapping[str, Candidate], there: Held) -> Iterator[tuple[Requirement, str]]:
    """The requirements that are not satisfied on a machine, and whose they are."""
    queue, seen = [start], {start.name}
    while queue:
        one = queue.pop()
        for requirement in one.requires:
            if any(requirement.met_by(version) for version in there.get(requirement.package, ())):
                continue
            yield requirement, one.name
            found = chosen.get(requirement.package)
            if found is not None and found.name not in seen:
                seen.add(found.name)
                queue.append(found)


def _check_conflicts(together: Sequence[Candidate]) -> None:
    for one in together:
        for other in together:
            for conflict in one.conflicts:
                if conflict.package == other.name and conflict.met_by(other.version):
                    raise UsageError(
                        code="dependency.conflict",
                        what=f"{one.reference} conflicts with {conflict}, and {other.reference} is to be installed.",
                        todo="Order other versions. Nothing was done.",
                    )


def _unsatisfiable(
    requirement: Requirement,
    by: str,
    asked: Sequence[tuple[str, Requirement]],
    library: Mapping[str, Sequence[Candidate]],
    nodes: Sequence[str],
) -> UsageError:
    name = requirement.package
    versions = ", ".join(list(dict.fromkeys(one.version for one in newest(library.get(name, ()))))[:_SHOWN])
    wants = ", ".join(f"{who} needs {what}" for who, what in asked)
    there = f"the library has {name} {versions}" if versions else f"no package is called {name}"
    return UsageError(
        code="dependency.unsatisfiable",
        what=f"{by} needs {requirement}, and no version satisfies all: {wants}; {there}."
        f" {len(nodes)} of the targets have it not either, {nodes[0]} among them.",
        todo=f"Build a {name} that fits (`tiercast package build`), or order another version. Nothing was done.",
    )
