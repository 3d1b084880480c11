"""RangeSet against a set of positions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiercast_protocol.transfer.ranges import RangeSet

SIZE = 60
spans = st.tuples(st.integers(0, SIZE - 1), st.integers(1, 12)).map(lambda s: (s[0], min(SIZE, s[0] + s[1])))


@given(st.lists(spans, max_size=30), spans)
def test_it_is_a_set_of_positions(added: list[tuple[int, int]], asked: tuple[int, int]) -> None:
    ranges, model = RangeSet(), set[int]()
    for start, end in added:
        new = set(range(start, end)) - model
        assert ranges.overlaps(start, end) == bool(set(range(start, end)) & model)
        assert ranges.add(start, end) == len(new)
        model |= new
    assert ranges.total == len(model)
    assert {at for start, end in ranges for at in range(start, end)} == model
    assert ranges.overlaps(*asked) == bool(set(range(*asked)) & model)
    assert ranges.covers(*asked) == (asked[0] < asked[1] and set(range(*asked)) <= model)
    assert ranges.end_of(asked[0]) == next(at for at in range(asked[0], SIZE + 2) if at not in model)
    missing = ranges.missing(SIZE)
    assert {at for start, end in missing for at in range(start, end)} == set(range(SIZE)) - model
    assert missing == sorted(missing)
    edges = [edge for span in ranges for edge in span]
    assert edges == sorted(set(edges)), "intervals touch or overlap"


def test_a_size_inside_the_set() -> None:
    ranges = RangeSet()
    ranges.add(10, 20)
    assert ranges.missing(5) == [(0, 5)]
    assert ranges.missing(20) == [(0, 10)]


@pytest.mark.parametrize("span", [(3, 3), (4, 3), (-1, 3)])
def test_what_is_no_interval(span: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="no interval"):
        RangeSet().add(*span)
