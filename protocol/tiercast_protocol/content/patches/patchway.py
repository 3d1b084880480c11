"""Which patches lead from what is held to what is wanted, for the fewest bytes.

Rules
- Pure: roots are places, offers are one-way roads with a length, any held root is a start.
- An offer says what the chunks would cost whoever holds its base, so a way that is no cheaper than they are is
  not taken.  Offers are hints from whoever relayed them: a false one costs a fetch, never a wrong byte.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from heapq import heappop, heappush

from tiercast_protocol.content.sealed.digest import Digest
from tiercast_protocol.wire.messages import PatchOffer

#: Longest way: every step makes a whole version.
MOST_STEPS = 4


def cheapest_way(offers: Iterable[PatchOffer], held: Collection[Digest], wanted: Digest) -> list[PatchOffer]:
    """The offers to apply, in order; empty where chunks are as cheap, or nothing leads there."""
    if wanted in held:
        return []
    roads: dict[Digest, list[PatchOffer]] = {}
    for offer in offers:
        roads.setdefault(offer.base, []).append(offer)
    chunks = min(
        (o.plain for found in roads.values() for o in found if o.result == wanted and o.base in held), default=0
    )
    best: dict[Digest, int] = {}
    waiting: list[tuple[int, int, Digest, list[PatchOffer]]] = [(0, n, root, []) for n, root in enumerate(sorted(held))]
    turn = len(waiting)
    while waiting:
        length, _, root, way = heappop(waiting)
        if root == wanted:
            return way if not chunks or length < chunks else []
        if best.setdefault(root, length) < length or len(way) == MOST_STEPS:
            continue
        for offer in roads.get(root, ()):
            turn += 1
            heappush(waiting, (length + offer.size, turn, offer.result, [*way, offer]))
    return []


def leading_to(offers: Iterable[PatchOffer], wanted: Digest, most: int) -> list[PatchOffer]:
    """At most `most` of the offers that can be part of a way to `wanted`, the last steps first."""
    into: dict[Digest, list[PatchOffer]] = {}
    for offer in offers:
        into.setdefault(offer.result, []).append(offer)
    found: list[PatchOffer] = []
    seen, ends = {wanted}, [wanted]
    for _ in range(MOST_STEPS):
        last = [offer for end in ends for offer in sorted(into.get(end, ()), key=lambda o: (o.size, o.patch))]
        found += last
        ends = [base for base in dict.fromkeys(o.base for o in last) if base not in seen]
        seen.update(ends)
    return found[:most]
