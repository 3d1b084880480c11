"""Bars: as wide as there is room, never nothing for something."""

from __future__ import annotations

import io
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiercast_cli.shown.bars import bars


@given(st.lists(st.tuples(st.text("abc", min_size=1, max_size=50), st.integers(1, 10**6)), min_size=1, max_size=20))
def test_every_line_fits_and_the_largest_is_the_longest(rows: list[tuple[str, int]]) -> None:
    lines = bars(rows, 100).splitlines()
    assert len(lines) == len(rows)
    assert {len(line) for line in lines} == {len(lines[0])}
    assert len(lines[0]) <= 100
    drawn = {number: line for line, (_, number) in zip(lines, rows, strict=True)}
    largest = drawn[max(drawn)]
    assert all(largest.count("█") + largest.count("#") >= line.count("█") + line.count("#") for line in drawn.values())


def test_where_only_letters_can_be_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    assert bars([("debian", 40), ("a" * 40, 1)], 60).splitlines() == [
        "debian                            ######################  40",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaa...  #                        1",
    ]
    assert bars([]) == "(nothing)"
