"""The settings can be written, read again, and are wrong all at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tiercast_gateway.config import TITLE, GatewaySettings, check_own_broker
from tiercast_protocol.errors import ConfigError, UsageError
from tiercast_protocol.node import config, settings_file
from tiercast_protocol.node.brokers import BrokerConfig


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


def test_a_gateway_has_a_broker_of_its_own() -> None:
    check_own_broker(BrokerConfig(), "mqtt://b:1883")
    check_own_broker(BrokerConfig(mode="mqtt://b:1884"), "mqtt://b:1883")
    with pytest.raises(UsageError, match="one of its own"):
        check_own_broker(BrokerConfig(mode="mqtt://b"), "mqtt://b:1883")
