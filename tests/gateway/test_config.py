"""The settings can be written, read again, and are wrong all at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tiercast_gateway.config import TITLE, GatewaySettings
from tiercast_protocol.errors import ConfigError
from tiercast_protocol.node import config, settings_file


def test_the_first_file_is_read_back_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "gateway.toml"
    settings_file.write(path, GatewaySettings(), title=TITLE)
    assert config.load(path, GatewaySettings) == GatewaySettings()
    assert "quota" in path.read_text()


def test_every_mistake_is_said_at_once(tmp_path: Path) -> None:
    text = (
        '[broker]\nmode = "amqp://x"\n[depot]\nquota = "much"\nretention = -1\n[log]\nlevel = "loud"\n[spare]\nx = 1\n'
    )
    with pytest.raises(ConfigError) as caught:
        config.parse(text, GatewaySettings, tmp_path / "gateway.toml")
    assert {mistake.key for mistake in caught.value.mistakes} == {
        "broker.mode",
        "depot.quota",
        "depot.retention",
        "log.level",
        "spare",
    }
