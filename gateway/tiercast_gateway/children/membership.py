"""Who joins a site-held job at one gateway: pure (docs/protocol.md, section 14).

Rules
- A machine is added once, and never when it is a target already, has or had a newer job about the same package, or the
  job is over or has expired.
- Whom the expression means is asked of the facts that the machines directly below said; what a gateway can't know of
  another machine (is it in a static group, below another gateway) the order says.
- Facts that make no sense for a condition, or lack, leave the machine out; a condition that costs too much is an error.
- Evaluating is blocking work (CPU): to be run in a thread.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from tiercast_protocol.content.facts.condition import TIME_LIMIT_S, Condition, compile_condition
from tiercast_protocol.content.jobs import target
from tiercast_protocol.content.jobs.target import Leaf, Named, Where
from tiercast_protocol.content.jobs.vouching import Definition, Group
from tiercast_protocol.errors import UsageError


@dataclass(frozen=True, slots=True)
class Machine:
    """One machine below: its facts as JSON, the groups that it asks for, and its home ("" is elsewhere)."""

    facts: str
    wishes: frozenset[str] = frozenset()
    home: str = ""


def meant(definition: Definition, machines: Mapping[str, Machine]) -> frozenset[str]:
    """Those of the machines whom the definition means.

    Raises:
        UsageError: target.*, condition.* or fact.unknown: of another version, or too dear.
    """
    sets = _Sets(definition, machines)
    return target.evaluate(target.parse_kept(definition.target), frozenset(machines), sets.members)


def windows(definition: Definition, machines: Mapping[str, Machine]) -> dict[str, list[tuple[str, str]]]:
    """By machine: its groups that have a window, of those that the definition names; errors as `meant`."""
    sets, found = _Sets(definition, machines), dict[str, list[tuple[str, str]]]()
    for name, group in sorted(definition.groups.items()):
        for node in sets.members(Named("group", (name,))) if group.window else ():
            found.setdefault(node, []).append((name, group.window))
    return found


@dataclass(frozen=True, slots=True)
class _Sets:
    """What each term of a definition means, of these machines."""

    definition: Definition
    machines: Mapping[str, Machine]

    def members(self, leaf: Leaf) -> frozenset[str]:
        """Whom one term means."""
        match leaf:
            case Where(condition):
                return self._where(condition)
            case Named("node", names):
                return frozenset(names) & self.machines.keys()
            case Named("group", names):
                return frozenset().union(*map(self._group, names))
            case Named(_, names):
                homes = frozenset().union(*(self.definition.below.get(name, ()) for name in names))
                return frozenset(name for name, one in self.machines.items() if one.home and one.home in homes)

    def _where(self, condition: str) -> frozenset[str]:
        compiled = compile_condition(condition)
        rows = [(name, machine.facts) for name, machine in self.machines.items()]
        try:
            return frozenset(compiled.find(rows).names)
        except UsageError as error:
            if error.code != "condition.invalid":
                raise
        return frozenset(self._one_by_one(compiled, rows))

    def _one_by_one(self, compiled: Condition, rows: list[tuple[str, str]]) -> Iterator[str]:
        """Where it makes no sense for one machine the others count, within the same time."""
        end = time.thread_time() + TIME_LIMIT_S
        for number, (name, facts) in enumerate(rows, 1):
            if compiled.is_true(name, facts):
                yield name
            if time.thread_time() > end:
                raise UsageError(
                    code="condition.slow",
                    what=f"The condition costs too much: more than {TIME_LIMIT_S:g} s; {number} were looked at.",
                    where=compiled.text,
                    todo="Make it simpler; `matches` is the slowest function, == and startsWith are fast.",
                )

    def _group(self, name: str) -> frozenset[str]:
        group = self.definition.groups.get(name, Group())
        if group.where:
            return self._where(group.where)
        asking = frozenset(node for node, one in self.machines.items() if group.self_join and name in one.wishes)
        return asking | (frozenset(group.members) & self.machines.keys())


@dataclass(frozen=True, slots=True)
class Ordered:
    """These are targets of the job, or of a newer one about its package: by the region, or by this gateway before."""

    nodes: frozenset[str]


@dataclass(frozen=True, slots=True)
class Asked:
    """The expression means these, of those that were asked."""

    nodes: frozenset[str]


@dataclass(frozen=True, slots=True)
class Ended:
    """The region ended the job, or nobody is to join it any more."""


Event: TypeAlias = Ordered | Asked | Ended


@dataclass(frozen=True, slots=True)
class Add:
    """Vouch for these, and order them."""

    nodes: tuple[str, ...]


@dataclass(slots=True)
class Membership:
    """Of one job; `expires` in milliseconds since 1970."""

    expires: int
    over: bool = False
    targets: set[str] = field(default_factory=set)

    def handle(self, event: Event, *, now: int) -> list[Add]:
        """What to do after `event`."""
        match event:
            case Ordered(nodes):
                self.targets |= nodes
                return []
            case Ended():
                self.over = True
                return []
            case Asked(nodes):
                if self.over or now >= self.expires:
                    return []
                fresh = tuple(sorted(nodes - self.targets))
                self.targets.update(fresh)
                return [Add(fresh)] if fresh else []
