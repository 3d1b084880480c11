"""Settings are read whole, and every mistake in one pass."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiercast_protocol.errors import ConfigError
from tiercast_protocol.node.config import (
    Duration,
    Rate,
    Secret,
    Size,
    load,
    parse,
    parse_duration,
    parse_rate,
    parse_size,
    setting,
)


@dataclass(frozen=True, slots=True)
class Inner:
    rate: Rate = setting(Rate(0), doc="How fast.")
    token: Secret = setting(Secret(""), doc="Not for others.")


@dataclass(frozen=True, slots=True)
class Outer:
    name: str = setting(doc="Its name.")
    quota: Size | None = setting(None, doc="How much.")
    keep: Duration = setting(Duration(60), doc="How long.")
    level: Literal["info", "debug"] = setting("info", doc="How loud.")
    count: int = setting(3, doc="How many.", check=lambda n: None if n > 0 else "a number above 0")
    share: float = setting(0.5, doc="Which part.")
    on: bool = setting(True, doc="Whether.")
    hosts: tuple[str, ...] = setting((), doc="Which.")
    folder: Path = setting(Path("/x"), doc="Where.")
    inner: Inner = setting(Inner, doc="A table.")


HERE = Path("/etc/x.toml")


def test_all_types() -> None:
    text = """
name = "n"
quota = "2GiB"
keep = "90d"
level = "debug"
count = 4
share = 1
on = false
hosts = ["a", "b"]
folder = "/y"
[inner]
rate = "20MB/s"
token = "t"
"""
    assert parse(text, Outer, HERE) == Outer(
        "n",
        Size(2 << 30),
        Duration(90 * 86400),
        "debug",
        4,
        1.0,
        False,
        ("a", "b"),
        Path("/y"),
        Inner(Rate(20_000_000), Secret("t")),
    )


def test_every_mistake_in_one_pass() -> None:
    text = """
naem = "n"
quota = "two"
keep = "3 parsecs"
level = "loud"
count = 0
share = "x"
on = 1
hosts = ["a", 2]
[inner]
rate = "20MB"
tokn = "t"
"""
    with pytest.raises(ConfigError) as caught:
        parse(text, Outer, HERE)
    found = {m.key: m for m in caught.value.mistakes}
    assert set(found) == {
        "name", "naem", "quota", "keep", "level", "count", "share", "on", "hosts[1]", "inner.rate", "inner.tokn",
    }  # fmt: skip
    assert "did you mean" in found["naem"].expected
    assert '"name"' in found["naem"].expected
    assert '"token"' in found["inner.tokn"].expected
    assert found["count"].expected == "a number above 0"
    assert found["level"].expected == 'one of "info", "debug"'
    assert "/etc/x.toml" in str(caught.value)
    assert str(caught.value).startswith("11 mistakes in")


def test_syntax_is_a_mistake_with_its_place() -> None:
    with pytest.raises(ConfigError) as caught:
        parse("name = \nx = 1", Outer, HERE)
    assert "(syntax)" in str(caught.value)
    assert "Invalid value" in str(caught.value)


@pytest.mark.parametrize("value", ["name = 3", "[name]\nx = 1", 'name = "a"\ninner = 3', 'name = "a"\nhosts = "b"'])
def test_a_wrong_shape_is_one_mistake(value: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(value, Outer, HERE)
    assert len(caught.value.mistakes) == 1


def test_a_missing_file_and_a_binary_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        load(tmp_path / "no.toml", Outer)
    (tmp_path / "b.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="UTF-8"):
        load(tmp_path / "b.toml", Outer)
    with pytest.raises(ConfigError, match="readable TOML"):
        load(tmp_path, Outer)


def test_a_secret_that_others_can_read_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text('name = "n"\n[inner]\ntoken = "hunter2"\n')
    file.chmod(0o640)
    with pytest.raises(ConfigError, match="0600") as caught:
        load(file, Outer)
    assert "hunter2" not in str(caught.value)
    file.chmod(0o600)
    assert load(file, Outer).inner.token == "hunter2"


def test_a_wrong_secret_is_not_shown() -> None:
    with pytest.raises(ConfigError) as caught:
        parse('name = "n"\n[inner]\ntoken = 4711\n', Outer, HERE)
    assert "4711" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90d", 7_776_000), ("1.5 h", 5400), ("250ms", 0.25), (7, 7), ("15min", 900), ("2w", 1_209_600)],
)
def test_durations(text: object, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("text", "size"), [("2GiB", 2 << 30), ("20GB", 20 * 1000**3), ("1.5MiB", 3 << 19), (7, 7), ("7B", 7)]
)
def test_sizes(text: object, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    ("text", "rate"), [("20MB/s", 20_000_000), ("100Mbit/s", 12_500_000), ("unlimited", 0), (5, 5), ("1MiB/s", 1 << 20)]
)
def test_rates(text: object, rate: int) -> None:
    assert parse_rate(text) == rate


@given(st.one_of(st.text(max_size=12), st.integers(), st.floats(), st.booleans(), st.lists(st.integers(), max_size=2)))
def test_anything_else_is_a_value_error(value: object) -> None:
    for read in (parse_duration, parse_size, parse_rate):
        try:
            assert read(value) >= 0
        except ValueError as error:
            assert str(error)  # noqa: PT017 - either is right, nothing else is
