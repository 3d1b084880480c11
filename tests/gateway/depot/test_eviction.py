"""What goes and what stays: for every depot that there could be."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from tiercast_gateway.depot.eviction import NO_NEED, Candidate, plan
from tiercast_gateway.depot.marks import Marks
from tiercast_protocol.node.leases import CHILD, KEEP, ORDER, PIN, READ, Leases

CHUNKS = [bytes([n]) * 32 for n in range(16)]
ROOTS = [bytes([100 + n]) * 32 for n in range(5)]

_reason = st.sampled_from(("", "", "", ORDER, PIN, KEEP))


@st.composite
def depots(draw: st.DrawFn) -> tuple[dict[bytes, int], list[Candidate], dict[bytes, str]]:
    held = {d: draw(st.integers(1, 100)) for d in [*CHUNKS, *ROOTS] if draw(st.booleans())}
    packages = [
        Candidate(
            root, draw(st.integers(0, 3)), frozenset(draw(st.sets(st.sampled_from(CHUNKS)))) | {root}, draw(_reason)
        )
        for root in ROOTS
        if draw(st.booleans())
    ]
    relied = {d: draw(st.sampled_from((READ, CHILD))) for d in held if draw(st.integers(0, 4)) == 0}
    return held, packages, relied


@given(depots(), st.integers(0, 1500))
def test_never_what_is_relied_on_and_enough_whenever_that_is_possible(
    depot: tuple[dict[bytes, int], list[Candidate], dict[bytes, str]], target: int
) -> None:
    held, packages, relied = depot
    made = plan(held, packages, target=target, relied=lambda d: relied.get(d, ""))
    going = set(made.chunks)
    assert len(going) == len(made.chunks)
    assert going <= set(held)
    assert not going & set(relied), "a leased chunk"
    for package in packages:
        if package.why:
            assert not going & set(package.digests), "a chunk of a package that is held"
            assert package.root not in made.packages
    assert made.freed == sum(held[d] for d in going)
    assert made.enough == (made.freed >= target)
    assert sum(made.kept.values()) + made.freed == sum(held.values()), "everything that stays has its reason"
    # Only the roots of packages of which somebody relies on a chunk stay without being relied on themselves.
    naming = {p.root for p in packages if any(d in relied for d in p.digests)}
    bound = {d for p in packages if p.why for d in p.digests}
    free = sum(size for d, size in held.items() if d not in relied and d not in bound and d not in naming)
    if free >= target:
        assert made.enough
    else:
        assert made.freed >= free
    for root in made.packages:
        gone = next(p for p in packages if p.root == root)
        others = {d for p in packages if p.root not in made.packages for d in p.digests}
        assert not (set(gone.digests) & set(held)) - going - others, "a package that is gone leaves nothing behind"


def test_strays_first_then_the_oldest_and_what_a_younger_one_shares_stays_with_it() -> None:
    stray, own, shared, other = CHUNKS[:4]
    old = Candidate(ROOTS[0], 1, {ROOTS[0], own, shared})
    young = Candidate(ROOTS[1], 2, {ROOTS[1], other, shared})
    held = dict.fromkeys([stray, own, shared, other, ROOTS[0], ROOTS[1]], 10)
    assert plan(held, [young, old], target=1, relied=lambda _: "").chunks == (stray,)
    made = plan(held, [young, old], target=11, relied=lambda _: "")
    assert made.chunks == (stray, own, ROOTS[0])
    assert made.packages == (ROOTS[0],)
    assert made.kept == {NO_NEED: 30}
    everything = plan(held, [young, old], target=999, relied=lambda _: "")
    assert (everything.freed, everything.enough) == (60, False)


def test_what_stays_is_shown_under_the_strongest_reason() -> None:
    one, two = CHUNKS[:2]
    packages = [Candidate(ROOTS[0], 1, {ROOTS[0], one}, PIN), Candidate(ROOTS[1], 1, {ROOTS[1], one, two}, ORDER)]
    held = {one: 5, two: 7, ROOTS[0]: 1, ROOTS[1]: 1}
    made = plan(held, packages, target=100, relied=lambda d: READ if d == two else "")
    assert (made.freed, made.kept) == (0, {ORDER: 13, PIN: 1})


@settings(deadline=None)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("put"), st.integers(0, 15)),
            st.tuples(st.just("package"), st.integers(0, 4)),
            st.tuples(st.sampled_from(("take", "end", "tell", "untell")), st.integers(0, 15)),
            st.tuples(st.just("fill"), st.integers(0, 400)),
        ),
        max_size=60,
    )
)
def test_in_any_story_what_is_leased_stays_and_the_low_mark_is_reached_if_the_rest_suffices(
    story: list[tuple[str, int]],
) -> None:
    held: dict[bytes, int] = {}
    packages: list[Candidate] = []
    leases, told, taken = Leases(), set[bytes](), Counter[bytes]()
    leases.watch(CHILD, told.__contains__)
    for step, number in story:
        digest = CHUNKS[number % len(CHUNKS)]
        match step:
            case "put":
                held[digest] = 10 + number
            case "package":
                held[ROOTS[number]] = 5
                members = {ROOTS[number], *CHUNKS[number * 3 : number * 3 + 5]}
                packages = [
                    *(p for p in packages if p.root != ROOTS[number]),
                    Candidate(ROOTS[number], number, members),
                ]
            case "take":
                leases.take(READ, [digest])
                taken[digest] += 1
            case "end" if taken[digest]:
                leases.give_back(READ, [digest])
                taken[digest] -= 1
            case "tell":
                told.add(digest)
            case "untell":
                told.discard(digest)
            case "fill":
                high, low = Marks(str(number + 1), str(number // 2 + 1)).bytes_of(10_000)
                own = sum(held.values())
                if own < high:
                    continue
                made = plan(held, packages, target=max(0, own - low), relied=leases.reason)
                leased = {d for d in held if taken[d] or d in told}
                assert not leased & set(made.chunks)
                for gone in made.chunks:
                    del held[gone]
                packages = [p for p in packages if p.root not in made.packages]
                naming = {p.root for p in packages if leased & set(p.digests)}
                if sum(held[d] for d in held if d in leased or d in naming) <= low:
                    assert sum(held.values()) <= low
