"""Where daemons keep their things."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tiercast_protocol.node import places


def test_home_wins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TIERCAST_HOME", str(tmp_path))
    found = places.place("gateway")
    assert found.folder == tmp_path / "gateway"
    assert found.config == tmp_path / "gateway" / "gateway.toml"
    assert found.socket == tmp_path / "gateway" / "control.sock"


@pytest.mark.parametrize(
    ("uid", "expected"), [(0, "/var/lib/tiercast/server"), (1000, "/h/.local/state/tiercast/server")]
)
def test_defaults_by_user(monkeypatch: pytest.MonkeyPatch, uid: int, expected: str) -> None:
    for name in ("TIERCAST_HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/h")
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    assert places.place("server").folder == Path(expected)


def test_a_folder_that_was_given_wins(tmp_path: Path) -> None:
    assert places.place("endpoint", tmp_path).folder == tmp_path


def test_a_long_path_moves_to_a_short_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/1")
    deep = tmp_path / ("x" * 60) / ("y" * 60)
    found = places.socket_path(deep, "control.sock")
    assert len(os.fsencode(found)) <= places.MAX_SOCKET_PATH
    assert found == places.socket_path(deep, "control.sock")
    assert found != places.socket_path(deep / "z", "control.sock")
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    assert str(places.socket_path(deep, "control.sock")).startswith(f"/tmp/tiercast-{os.geteuid()}-")
