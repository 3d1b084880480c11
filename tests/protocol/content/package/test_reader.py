"""Reading tables: each kind, what is wrong with it, and TOML that reads back as it was."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiercast_protocol.content.package.lines import lines_of
from tiercast_protocol.content.package.reader import UNITS_B, UNITS_S, Reader, bare, quoted, shown, written


def reader(text: str) -> Reader:
    return Reader(tomllib.loads(text), lines=lines_of(text))


def test_right() -> None:
    found = reader('t = "x"\nc = "b"\nn = 3\nf = true\nl = ["a"]\na = "2m"\nb = 7\n')
    assert found.text("t", "") == "x"
    assert found.choice("c", ("a", "b"), "a") == "b"
    assert found.whole("n", 1, 9) == 3
    assert found.flag("f")
    assert found.listed("l", "", 2) == ["a"]
    assert found.amount("a", 1, 200, UNITS_S, "") == 120
    assert found.amount("b", 1, 200, UNITS_B, "") == 7
    assert found.mistakes == []


def test_absent_is_the_default() -> None:
    found = reader("")
    assert (found.text("t", "", "d"), found.choice("c", ("a",), "a"), found.whole("n", 4, 9)) == ("d", "a", 4)
    assert (found.flag("f", default=True), found.listed("l", "", 2), found.amount("a", 5, 9, UNITS_S, "")) == (
        True,
        [],
        5,
    )
    assert found.inner("x") is None
    assert list(found.each("y", 3)) == []
    assert found.mistakes == []


def test_wrong_all_at_once_with_their_lines() -> None:
    found = reader('t = 1\nc = "z"\nn = 0\nf = "yes"\nl = [1]\na = "2 weeks"\ni = 1\ne = 2\nodd = 1\n')
    found.text("t", "a text")
    found.choice("c", ("a", "b"), "a")
    found.whole("n", 1, 9)
    found.flag("f")
    found.listed("l", "a list", 2)
    found.amount("a", 1, 9, UNITS_S, "seconds")
    found.inner("i")
    list(found.each("e", 3))
    found.text("gone", "a text")
    found.known("t", "c", "n", "f", "l", "a", "i", "e")
    assert [(one.line, one.key) for one in found.mistakes] == [
        *((place, key) for place, key in enumerate(("t", "c", "n", "f", "l", "a", "i", "e"), 1)),
        (0, "gone"),
        (9, "odd"),
    ]


def test_tables_within() -> None:
    found = reader('[[do]]\nx = 1\n[[do]]\nx = "1"\n[by.one]\nx = "2"\n[by.two]\nx = 3\n')
    assert [one.text("x", "a text") for one in found.each("do", 5)] == ["", "1"]
    assert [(name, one.text("x", "a text")) for name, one in found.named("by")] == [("one", "2"), ("two", "")]
    assert [(one.line, one.key) for one in found.mistakes] == [(2, "do[1].x"), (8, "by.two.x")]


def test_too_many_tables() -> None:
    found = reader("[[do]]\n[[do]]\n")
    assert list(found.each("do", 1)) == []
    assert found.mistakes[0].problem == "has 2 entries"


def test_shown_is_short() -> None:
    assert len(shown("x" * 500)) == 60


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


@given(
    TEXT | st.integers(0, 2**40) | st.booleans() | st.lists(TEXT, max_size=4) | st.dictionaries(TEXT, TEXT, max_size=4)
)
def test_written_reads_back(value: str | int | list[str] | dict[str, str]) -> None:
    assert tomllib.loads(f"x = {written(value)}")["x"] == value


@given(TEXT)
def test_keys_read_back(key: str) -> None:
    assert tomllib.loads(f"{bare(key)} = 1") == {key: 1}


@pytest.mark.parametrize("text", ["", '"', "\\", "\n", "\x7f", "ä"])
def test_quoted(text: str) -> None:
    assert tomllib.loads(f"x = {quoted(text)}") == {"x": text}
