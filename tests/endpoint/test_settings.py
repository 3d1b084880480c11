"""The agent's settings file."""

from __future__ import annotations

from pathlib import Path

import pytest

from tiercast_endpoint.settings import TITLE, Settings, default_root
from tiercast_endpoint.trees.materials import Limits
from tiercast_protocol.errors import ConfigError
from tiercast_protocol.node import config, settings_file


def test_what_join_writes_is_what_run_reads(tmp_path: Path) -> None:
    written = Settings(install_root=tmp_path / "apps")
    settings_file.write(tmp_path / "endpoint.toml", written, title=TITLE)
    assert config.load(tmp_path / "endpoint.toml", Settings) == written
    assert written.limits() == Limits()
    assert written.tls.ca == ""


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "endpoint.toml").write_text(
        'install_root = "apps"\nwindow = "1KiB"\nreserve = "many"\nlog_level = "loud"\nkeep_previus = true\n'
        'install_window = "at night"\n'
    )
    with pytest.raises(ConfigError) as raised:
        config.load(tmp_path / "endpoint.toml", Settings)
    assert {m.key for m in raised.value.mistakes} == {
        "install_root",
        "window",
        "reserve",
        "log_level",
        "keep_previus",
        "install_window",
    }


def test_where_packages_go_by_default(tmp_path: Path) -> None:
    assert default_root(tmp_path) == tmp_path / "apps"
    assert default_root(Path("/var/lib/tiercast/endpoint")) == Path("/opt/tiercast")


@pytest.mark.parametrize(("text", "fine"), [("", True), ("sat 10:00-11:00", True), ("sat 10:00-11:00 at 5000", False)])
def test_the_owners_window(tmp_path: Path, text: str, fine: bool) -> None:
    file = tmp_path / "endpoint.toml"
    file.write_text(f'install_root = "/x"\ninstall_window = "{text}"\n')
    if fine:
        assert len(config.load(file, Settings).limits().windows) == bool(text)
        return
    with pytest.raises(ConfigError, match="rate"):
        config.load(file, Settings)


@pytest.mark.parametrize("line", ['socket_group = "no group"', 'socket_mode = "0666"', 'socket_mode = "rw"'])
def test_who_may_speak_for_the_owner_is_the_group_or_nobody_else(line: str) -> None:
    with pytest.raises(ConfigError):
        config.parse(f'install_root = "/opt/x"\n{line}\n', Settings, Path("endpoint.toml"))
