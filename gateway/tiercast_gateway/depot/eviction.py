"""What goes when room is needed, and what keeps the rest: a pure decision.

Rules
- First chunks of no known package, then packages in the order in which nobody asked for them.
- A chunk goes with the last package that names it, and never while anybody relies on it.
- A package's root goes last and only with all the rest, so that what stays can still be named.
- Everything that stays is accounted for, by the strongest reason.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from tiercast_protocol.node.leases import REASONS

Digest = bytes
#: Why something stays though nobody relies on it.
NO_NEED = "no room is needed"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A known package: `asked` orders the packages, `why` is what holds it as a whole ("" is nothing)."""

    root: Digest
    asked: int
    digests: Collection[Digest]
    why: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """What goes, in this order (packages entire, then none of them), and the bytes of what stays by reason."""

    chunks: tuple[Digest, ...]
    packages: tuple[Digest, ...]
    freed: int
    enough: bool
    kept: dict[str, int] = field(default_factory=dict)


def plan(
    held: Mapping[Digest, int],
    packages: Sequence[Candidate],
    *,
    target: int,
    relied: Callable[[Digest], str],
) -> Plan:
    """What to let go so that at least `target` bytes become free, if what nobody relies on allows.

    Args:
        held: every chunk in the store with its bytes.
        packages: every known package.
        target: bytes to free.
        relied: why a chunk may not go; "" when it may.
    """
    why = _reasons(held, packages, relied)
    order = sorted((p for p in packages if not p.why), key=lambda p: (p.asked, p.root))
    last = {digest: place for place, package in enumerate(order) for digest in package.digests}
    bound = set[Digest]().union(*(p.digests for p in packages if p.why))
    named = bound.union(last)
    chosen: list[Digest] = []
    gone: list[Digest] = []
    freed = 0
    for digest in (d for d in held if d not in named and d not in why):
        if freed >= target:
            break
        chosen.append(digest)
        freed += held[digest]
    for place, package in enumerate(order):
        if freed >= target:
            break
        here = [d for d in package.digests if d in held]
        going = [d for d in here if d not in why and last[d] == place and d != package.root]
        # What a younger package shares goes with that one; what somebody relies on stays, and the root to name it.
        whole = all(d in bound or d not in why for d in here)
        if whole and last[package.root] == place and package.root in held and package.root not in why:
            going.append(package.root)
        if whole:
            gone.append(package.root)
        chosen += going
        freed += sum(held[d] for d in going)
    kept = Counter[str]()
    taken = set(chosen)
    for digest, size in held.items():
        if digest not in taken:
            kept[why.get(digest, NO_NEED)] += size
    return Plan(tuple(chosen), tuple(gone), freed, freed >= target, dict(kept))


def _reasons(
    held: Mapping[Digest, int], packages: Sequence[Candidate], relied: Callable[[Digest], str]
) -> dict[Digest, str]:
    """Why each held chunk that may not go may not: the strongest reason of all."""
    found = {digest: reason for digest in held if (reason := relied(digest))}
    for package in sorted((p for p in packages if p.why), key=lambda p: -REASONS.index(p.why)):
        found.update((d, package.why) for d in package.digests if d in held)
    return found
