"""What is written is what is read."""

from __future__ import annotations

import stat
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiercast_protocol.node.config import Duration, Rate, Secret, Size, load, parse, setting
from tiercast_protocol.node.settings_file import render, show_duration, show_size, write


@dataclass(frozen=True, slots=True)
class Table:
    rate: Rate = setting(Rate(0), doc="How fast.")
    password: Secret | None = setting(None, doc="Secret.")


@dataclass(frozen=True, slots=True)
class Settings:
    name: str = setting("n", doc="Its name.\nOn two lines.")
    quota: Size | None = setting(None, doc="How much; unset is all.")
    keep: Duration = setting(Duration(90), doc="How long.")
    on: bool = setting(False, doc="Whether.")
    share: float = setting(0.5, doc="Part.")
    hosts: tuple[str, ...] = setting((), doc="Which.")
    folder: Path = setting(Path("/x"), doc="Where.")
    table: Table = setting(Table, doc="A table.")


def test_the_file_reads_well() -> None:
    text = render(Settings(keep=Duration(90 * 86400), hosts=("a", "b")), title="Settings of a test.")
    assert text.startswith('# Settings of a test.\n\n# Its name.\n# On two lines.\nname = "n"\n')
    assert "# quota =\n" in text
    assert 'keep = "90d"' in text
    assert "on = false" in text
    assert 'hosts = ["a", "b"]' in text
    assert '\n# A table.\n[table]\n# How fast.\nrate = "unlimited"\n' in text


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@given(
    TEXTS,
    st.one_of(st.none(), st.integers(0, 1 << 50)),
    st.integers(0, 10**9),
    st.booleans(),
    st.lists(TEXTS, max_size=3),
    st.integers(0, 1 << 40),
)
def test_written_and_read_again(name: str, quota: int | None, keep: int, on: bool, hosts: list[str], rate: int) -> None:
    settings = Settings(
        name=name,
        quota=None if quota is None else Size(quota),
        keep=Duration(float(keep)),
        on=on,
        hosts=tuple(hosts),
        table=Table(Rate(rate), Secret(name) if name else None),
    )
    assert parse(render(settings), Settings, Path("x")) == settings


def test_a_file_with_a_secret_is_private(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    write(path, Settings())
    assert stat.S_IMODE(path.stat().st_mode) & 0o007 == 0
    settings = Settings(table=Table(password=Secret("pw")))
    write(path, settings)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load(path, Settings) == settings
    assert [p.name for p in tmp_path.iterdir()] == ["a.toml"]


def test_a_leftover_of_a_crash_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "a.toml.new").write_text("half")
    write(tmp_path / "a.toml", Settings())
    assert load(tmp_path / "a.toml", Settings) == Settings()


@pytest.mark.parametrize(("value", "text"), [(90.0, "90s"), (86400, "1d"), (1.5, "1.5s"), (7200, "2h"), (0, "0s")])
def test_durations_in_words(value: float, text: str) -> None:
    assert show_duration(value) == text


@pytest.mark.parametrize(("value", "text"), [(0, "0B"), (1 << 30, "1GiB"), (20_000_000, "20MB"), (1001, "1001B")])
def test_sizes_in_words(value: int, text: str) -> None:
    assert show_size(value) == text
