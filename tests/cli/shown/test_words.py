"""Figures as people read them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiercast_cli.shown import words


def test_a_cancelled_job_that_has_not_ended_is_cancelling() -> None:
    assert words.state_of({"state": "open", "cancelling": True}) == "cancelling"
    assert words.state_of({"state": "cancelled", "cancelling": True}) == "cancelled"
    assert words.state_of({"state": "open"}) == "open"


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.00 KiB"),
        (1536, "1.50 KiB"),
        (10 << 20, "10.0 MiB"),
        (300 << 30, "300 GiB"),
    ],
)
def test_sizes_have_three_digits_and_a_unit(count: int, text: str) -> None:
    assert words.size(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.44, "0.4 s"), (42, "42 s"), (200, "3 min 20 s"), (7500, "2 h 5 min"), (3 * 86400 + 4 * 3600, "3 d 4 h")],
)
def test_spans_name_two_units(seconds: float, text: str) -> None:
    assert words.span(seconds) == text


def test_a_moment_that_never_was_is_a_dash() -> None:
    assert words.moment(0) == "-"
    assert words.ago(0, now=1.0) == "never"
    assert words.ago(1_000, now=61.0) == "1 min 0 s ago"


def test_a_share_of_nothing_is_empty() -> None:
    assert words.share(0, 0) == ""
    assert words.share(1, 3) == "33%"


@given(st.lists(st.tuples(st.text(st.characters(categories=["L"]), max_size=9), st.integers(0, 10**9)), max_size=8))
def test_a_table_has_a_line_per_row_and_numbers_to_the_right(rows: list[tuple[str, int]]) -> None:
    lines = words.table(("name", "count"), rows).split("\n")
    assert len(lines) == len(rows) + 1
    if rows:
        ends = {len(line) for line in lines}
        assert len(ends) == 1


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B/s"), (2_000_000, "2 MB/s"), (1_250_000, "1.25 MB/s"), (512_000, "512 kB/s"), (999_999, "1 MB/s")],
)
def test_rates_are_decimal_as_they_are_typed(count: int, text: str) -> None:
    assert words.rate(count) == text


def test_a_part_of_a_whole_has_its_noun_and_verb() -> None:
    said = [words.of_which(n, 1, "target", "waits", "wait") for n in (0, 1)]
    assert said == ["0 of 1 target wait", "1 of 1 target waits"]
    assert words.of_which(3, 12_000, "target", "waits", "wait") == "3 of 12,000 targets wait"


def test_a_count_has_its_noun() -> None:
    assert [words.count(n, "file") for n in (0, 1, 2)] == ["0 files", "1 file", "2 files"]


def test_a_map_line_by_line(capsys: pytest.CaptureFixture[str]) -> None:
    words.print_map({"b": ["x", "y"], "a": {"k": 1}, "none": None, "empty": "", "zero": 0})
    assert capsys.readouterr().out == "  a           k=1\n  b           x, y\n  zero        0\n"


def test_what_a_job_is_about() -> None:
    assert words.subject({"package": "hello", "version": "1"}) == "hello 1"
    assert words.subject({"package": "", "version": "", "about": "x" * 99}) == "x" * 57 + "..."
    assert words.subject({}) == ""


def test_a_part_names_the_whole() -> None:
    assert words.part({"done": 512, "total": 1024}) == "50% of 1.00 KiB"
    assert words.part({"done": None, "total": 0}) == ""
