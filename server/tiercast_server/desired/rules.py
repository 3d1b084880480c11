"""Which version would do for all assignments of a machine together, and which contradict each other.  Pure.

Rules
- Of the versions in the library the latest that does for every assignment of a machine is chosen; where an assignment
  wants the package to be there and none does, they contradict each other.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from functools import cmp_to_key, partial

from tiercast_protocol.content.facts.versions import PLAIN, compare
from tiercast_protocol.content.jobs.assigned import Rule
from tiercast_server.desired.life import NONE, REMOVED


def latest(versions: Iterable[str], order: str = PLAIN) -> str:
    """The latest of them; "" for none."""
    return max(versions, key=cmp_to_key(partial(compare, order=order)), default="")


def choice(rules: Collection[Rule], library: Iterable[str]) -> str | None:
    """What is to stand where all these hold: the latest version that does, REMOVED, or NONE."""
    if all(rule.lacks for rule in rules):
        return REMOVED
    order = next((one.order for rule in rules for one in rule.wants if one.order), PLAIN)
    return latest((one for one in library if all(rule.met_by(one) for rule in rules)), order) or NONE


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
