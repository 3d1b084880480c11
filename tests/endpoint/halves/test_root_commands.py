"""`tiercast-endpoint root init`: whose orders count is written down by root, and shown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.endpoint.halves.test_trusted import enrolled
from tests.endpoint.lab import Region
from tests.endpoint.two import USER
from typer.testing import CliRunner

from tiercast_endpoint.halves import trusted
from tiercast_endpoint.settings import Settings
from tiercast_endpoint.terminal import app
from tiercast_protocol.content.sealed.digest import digest_of
from tiercast_protocol.node import config, joined, settings_file


@pytest.fixture
def joined_at(tmp_path: Path, region: Region, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "agent"
    folder.mkdir()
    settings_file.write(folder / "endpoint.toml", Settings(install_root=tmp_path / "apps"))
    monkeypatch.setattr(joined, "load", lambda _folder, **_: enrolled(region))
    return folder


def init(folder: Path, *more: str) -> tuple[int, Any]:
    words = ["root", "init", "--agent", str(folder), "--state", str(folder.parent / "root"), "--user", USER, *more]
    done = CliRunner().invoke(app, [*words, "--json"])
    return done.exit_code, json.loads(done.output.splitlines()[-1])


def test_both_halves_know_of_each_other(joined_at: Path, region: Region) -> None:
    code, said = init(joined_at, "--socket", "/run/x.sock")
    assert code == 0, said
    assert said["root"]["fingerprint"] == digest_of(region.key.public).hex()[:16]
    assert config.load(joined_at / "endpoint.toml", Settings).root_socket == "/run/x.sock"
    assert trusted.load(joined_at.parent / "root").me.region_key == region.key.public


def test_another_regions_key_is_refused(joined_at: Path) -> None:
    code, said = init(joined_at, "--fingerprint", "00" * 8)
    assert (code, said["error"]["code"]) == (2, "root.fingerprint")
    assert not (joined_at.parent / "root").exists()
    code, said = init(joined_at, "--user", "no-such-user")
    assert (code, said["error"]["code"]) == (2, "root.user")
