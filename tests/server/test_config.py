"""The server's settings."""

from pathlib import Path

import pytest

from tiercast_protocol.errors import ConfigError
from tiercast_protocol.node import config, settings_file
from tiercast_server.config import ServerSettings


def test_what_init_writes_is_what_run_reads(tmp_path: Path) -> None:
    path = tmp_path / "server.toml"
    settings_file.write(path, ServerSettings(), title="x")
    assert config.load(path, ServerSettings) == ServerSettings()


def test_every_mistake_in_one_pass(tmp_path: Path) -> None:
    path = tmp_path / "server.toml"
    path.write_text('[broker]\nmode = "rabbit"\nlisten = "x:y"\n[library]\nquota = "lots"\n[lok]\nlevel = 1\n')
    with pytest.raises(ConfigError) as caught:
        config.load(path, ServerSettings)
    keys = {mistake.key for mistake in caught.value.mistakes}
    assert {"broker.mode", "broker.listen", "library.quota", "lok"} <= keys
