"""High and low mark."""

from __future__ import annotations

import pytest

from tiercast_gateway.depot.marks import WORDS, Marks, check
from tiercast_protocol.errors import UsageError


def test_marks_are_shares_or_sizes() -> None:
    assert Marks("95%", "80 %").bytes_of(1000) == (950, 800)
    assert Marks("2KiB", "1KiB").bytes_of(10_000) == (2048, 1024)
    assert Marks("2KiB", "1KiB").bytes_of(1500) == (1500, 1024)
    assert Marks("50%", "1GiB").bytes_of(1000) == (500, 500)


@pytest.mark.parametrize("value", ["0%", "101%", "0", "half", "-1", "12 parsecs", ""])
def test_what_is_no_mark(value: str) -> None:
    assert check(value) == WORDS


@pytest.mark.parametrize("value", ["1%", "99.5%", "100%", "20GiB"])
def test_what_is_a_mark(value: str) -> None:
    assert check(value) is None


@pytest.mark.parametrize(
    ("marks", "quota"),
    [
        (Marks("80%", "90%"), None),
        (Marks("80%", "90%"), 1000),
        (Marks("2KiB", "1KiB"), 1024),
        (Marks("50%", "600"), 1000),
    ],
)
def test_marks_that_can_not_work_are_refused_with_the_figures(marks: Marks, quota: int | None) -> None:
    with pytest.raises(UsageError, match="lets go from") as caught:
        marks.checked(quota)
    assert caught.value.code == "marks.invalid"


def test_marks_that_can_work() -> None:
    for marks, quota in ((Marks(), None), (Marks("90%", "500"), 1000), (Marks("1GiB", "50%"), None)):
        assert marks.checked(quota) is marks
