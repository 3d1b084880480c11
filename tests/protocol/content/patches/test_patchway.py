"""The cheapest way from what is held: several steps if that is cheaper, chunks if nothing is."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from tiercast_protocol.content.patches.patchway import MOST_STEPS, cheapest_way, leading_to
from tiercast_protocol.wire.messages import PatchOffer


def offer(base: str, result: str, size: int, plain: int = 1000) -> PatchOffer:
    return PatchOffer(
        base=base.encode(), result=result.encode(), patch=f"{base}>{result}".encode(), size=size, plain=plain
    )


def way(offers: list[PatchOffer], held: str, wanted: str = "z") -> str:
    found = cheapest_way(offers, {name.encode() for name in held}, wanted.encode())
    return " ".join(step.patch.decode() for step in found)


def test_the_only_patch_is_taken() -> None:
    assert way([offer("a", "z", 10)], "ab") == "a>z"


def test_nothing_is_taken_where_nothing_leads_or_is_needed() -> None:
    assert way([offer("a", "z", 10)], "b") == ""
    assert way([offer("a", "z", 10)], "") == ""
    assert way([offer("a", "z", 10)], "az") == ""
    assert way([], "a") == ""


def test_several_steps_are_taken_if_cheaper() -> None:
    steps = [offer("a", "m", 10), offer("m", "z", 15)]
    assert way([*steps, offer("a", "z", 30)], "a") == "a>m m>z"
    assert way([*steps, offer("a", "z", 20)], "a") == "a>z"
    assert way(steps, "am") == "m>z"


def test_chunks_are_taken_if_cheaper() -> None:
    assert way([offer("a", "z", 30, plain=30)], "a") == ""
    assert way([offer("a", "m", 10), offer("m", "z", 15), offer("a", "z", 90, plain=24)], "a") == ""


def test_circles_and_long_ways_end() -> None:
    assert way([offer("a", "b", 0), offer("b", "a", 0)], "a") == ""
    names = "abcdefghz"
    chain = [offer(one, two, 1) for one, two in pairwise(names)]
    assert way(chain, "a") == ""
    assert way(chain, "e") == "e>f f>g g>h h>z"
    assert MOST_STEPS == 4


def test_the_offers_that_lead_there() -> None:
    offers = [offer("a", "m", 10), offer("m", "z", 15), offer("b", "z", 5), offer("z", "m", 1), offer("a", "q", 1)]
    found = [step.patch.decode() for step in leading_to(offers, b"z", 10)]
    assert found == ["b>z", "m>z", "z>m", "a>m"]
    assert len(leading_to(offers, b"z", 2)) == 2


NAMES = st.sampled_from("abcdefz")


@given(st.lists(st.tuples(NAMES, NAMES, st.integers(0, 50)), max_size=20), st.sets(NAMES, min_size=1, max_size=3))
def test_a_way_begins_at_what_is_held_and_ends_at_what_is_wanted(roads: list, held: set[str]) -> None:
    offers = [offer(one, two, size) for one, two, size in roads]
    found = cheapest_way(offers, {name.encode() for name in held}, b"z")
    if found:
        assert found[0].base.decode() in held
        assert found[-1].result == b"z"
        assert all(one.result == two.base for one, two in pairwise(found))
        assert cheapest_way(leading_to(offers, b"z", 1000), {name.encode() for name in held}, b"z")
