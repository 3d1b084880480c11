"""Variables: declared, found in texts, filled in once, and told with where they come from."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiercast_protocol.content.package.lines import lines_of
from tiercast_protocol.content.package.reader import Reader
from tiercast_protocol.content.package.variables import (
    Variable,
    check_text,
    fill,
    names_in,
    read_variables,
    resolve,
    texts,
    variable_lines,
)
from tiercast_protocol.errors import UsageError

FACTS = {"name": "pc-1", "os": "linux", "memory": 8_000, "labels": {"site": "berlin"}}


def read(text: str) -> tuple[tuple[Variable, ...], Reader]:
    reader = Reader(tomllib.loads(text), lines=lines_of(text))
    return read_variables(reader), reader


def values(variables: tuple[Variable, ...], **settings: str) -> dict[str, str]:
    settings = {key.replace("__", "."): value for key, value in settings.items()}
    return texts(
        resolve(variables, package="editor", version="2", group="", facts=FACTS, settings=settings),
    )


def test_read_and_written() -> None:
    text = (
        '[variables]\nport = "80"\nsite = { fact = "labels.site" }\n'
        'mem = { default = "1", fact = "memory", note = "n" }\n'
    )
    found, reader = read(text)
    assert reader.mistakes == []
    assert found == (Variable("port", "80"), Variable("site", None, "labels.site"), Variable("mem", "1", "memory", "n"))
    assert read("\n".join(variable_lines(found)))[0] == found
    assert variable_lines(()) == []


def test_mistakes_with_lines() -> None:
    _, reader = read(
        '[variables]\n"two words" = ""\nversion = "x"\nnone = {}\nodd = { fact = "shoe size" }\n'
        'map = { fact = "labels" }\nnumber = 3\nlong = "a\\nb"\n'
    )
    assert sorted({one.line for one in reader.mistakes}) == [2, 3, 4, 5, 6, 7, 8]


def test_order_of_sources() -> None:
    site = (Variable("site", "none", "labels.site"),)
    assert values(site)["site"] == "berlin"
    assert values(site, site="a")["site"] == "a"
    assert values(site, site="a", editor__site="b")["site"] == "b"
    assert values((Variable("x", "d", "labels.none"),))["x"] == "d"
    assert values((Variable("m", None, "memory"),))["m"] == "8000"


def test_own_names() -> None:
    assert values((Variable("x", ""),)) == {"x": "", "package": "editor", "version": "2", "node": "pc-1", "group": ""}
    assert values(()) == {}


def test_unset_all_at_once() -> None:
    with pytest.raises(UsageError, match=r"a has no value; the fact labels.x is not .*; b has no value") as error:
        values((Variable("a", None, "labels.x"), Variable("b", None, "distribution")))
    assert error.value.code == "variable.unset"


def test_hostile_setting() -> None:
    with pytest.raises(UsageError, match="control character") as error:
        values((Variable("a", "x"),), a="x\ny")
    assert error.value.code == "variable.invalid"


def test_fill() -> None:
    assert fill("${a}-$${a}-$a-${b}", {"a": "${b}", "b": "2"}) == "${b}-${a}-$a-2"
    assert fill("${a} $${a}", {}) == "${a} $${a}"
    assert names_in("${a} $${b} ${c}") == ["a", "c"]
    with pytest.raises(UsageError, match="does not declare"):
        fill("${z}", {"a": "1"})


def test_undeclared() -> None:
    reader = Reader({}, lines={"argv": 3})
    check_text(reader, "argv", "${HOME} ${node}", [Variable("x", "")])
    check_text(reader, "argv", "${HOME}", [])
    assert [(one.key, one.line) for one in reader.mistakes] == [("argv", 3)]


@given(st.text("${}ab", max_size=20), st.text("${}ab", max_size=10))
def test_filled_once(text: str, value: str) -> None:
    names = names_in(text)
    filled = fill(text, dict.fromkeys([*names, "x"], value))
    if not names and "$${" not in text:
        assert filled == text
    assert fill("${x}", {"x": value}) == value
