"""Versions have one order, as Debian has it, and requirements are read or refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiercast_protocol.content.facts.versions import Requirement, compare, fits, read_requirement
from tiercast_protocol.errors import UsageError

RISING = ["0", "0.9", "1~~", "1~", "1~rc1", "1", "1a", "1.0~rc1", "1.0", "1.0-1", "1.0.1", "1.2", "1.10", "2", "10"]
#: Where "1.0" and "1" differ by what "follows nothing": a dot is more than the end.
ANY = st.text("0123456789.~-+abv", max_size=12)


def test_the_order_is_that_of_debian() -> None:
    for at, one in enumerate(RISING):
        for other in RISING[at + 1 :]:
            assert compare(one, other) == -1, (one, other)
            assert compare(other, one) == 1, (one, other)


@pytest.mark.parametrize(("one", "other"), [("1.01", "1.1"), ("v2.0", "2.0"), ("", ""), ("a1", "a01")])
def test_what_is_the_same_version(one: str, other: str) -> None:
    assert compare(one, other) == 0


@given(ANY, ANY, ANY)
def test_any_texts_are_ordered_and_the_order_is_one(one: str, two: str, three: str) -> None:
    assert compare(one, two) == -compare(two, one)
    if compare(one, two) <= 0 and compare(two, three) <= 0:
        assert compare(one, three) <= 0


@pytest.mark.parametrize(
    ("text", "version", "met"),
    [
        ("editor", "0", True),
        ("editor >= 2", "2.0", True),
        ("editor>=2", "1.9", False),
        ("editor == 2.1", "2.1", True),
        ("editor != 2.1", "2.1", False),
        ("editor < 3", "2.99", True),
        ("editor > 3", "3", False),
        ("editor <= 3", "3", True),
    ],
)
def test_which_versions_count(text: str, version: str, met: bool) -> None:
    found = read_requirement(text)
    assert found.met_by(version) == met
    assert read_requirement(str(found)) == found


@pytest.mark.parametrize("text", ["", "editor >=", "editor => 2", ">= 2", "two words", "../x", "editor >= 2 3"])
def test_what_is_no_requirement_is_refused(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_requirement(text)
    assert caught.value.code == "requirement.invalid"


def test_a_requirement_is_a_value() -> None:
    assert read_requirement("a >= 1") == Requirement("a", ">=", "1")


DEBIAN_RISING = ["1.0~rc1-1", "1.0-1", "1.0-1+b1", "1.0-2", "1.0.1-1", "9.9", "1:0.1", "2:0~a"]
PYTHON_RISING = ["1.0.dev1", "1.0a1", "1.0rc1", "1.0", "1.0.post1", "1.1", "1!0.1"]


@pytest.mark.parametrize(("order", "rising"), [("debian", DEBIAN_RISING), ("packaging", PYTHON_RISING)])
def test_other_orders(order: str, rising: list[str]) -> None:
    for at, one in enumerate(rising):
        assert fits(one, order)
        assert compare(one, one, order) == 0
        for other in rising[at + 1 :]:
            assert compare(one, other, order) == -1, (one, other)
            assert compare(other, one, order) == 1, (one, other)


def test_orders_differ() -> None:
    assert compare("1.0", "1.0rc1") == -1
    assert compare("1.0", "1.0rc1", "packaging") == 1
    assert compare("1-2", "1-10", "debian") == -1
    assert compare("1", "2", "of a later version") == -1
    assert not fits("abc", "packaging")
    assert not fits("abc", "debian")
    assert fits("abc", "plain")


@given(ANY, ANY, ANY, st.sampled_from(["debian", "packaging"]))
def test_any_texts_have_one_order_in_each(one: str, two: str, three: str, order: str) -> None:
    assert compare(one, two, order) == -compare(two, one, order)
    if compare(one, two, order) <= 0 and compare(two, three, order) <= 0:
        assert compare(one, three, order) <= 0


def test_a_requirement_carries_the_order() -> None:
    found = read_requirement("a >= 1.0").ordered("packaging")
    assert str(found) == "a >= 1.0 (packaging)"
    assert read_requirement(str(found)) == found
    assert not found.met_by("1.0rc1")
    assert found.ordered("debian") == found
    assert str(read_requirement("a").ordered("packaging")) == "a"
    assert read_requirement("a >= 1").ordered("plain") == read_requirement("a >= 1")
