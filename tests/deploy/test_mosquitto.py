"""The settings for people who run their own mosquitto: the same as ours, each with its reason, and they start."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tiercast_mqtt.password import hash_password
from tiercast_protocol.errors import UsageError
from tiercast_protocol.node import access, mosquitto
from tiercast_protocol.node.broker import connect_once, free_port
from tiercast_protocol.node.brokers import BrokerConfig, open_broker
from tiercast_protocol.node.child import Child
from tiercast_protocol.node.config import Secret

CONF = Path(__file__).parents[2] / "deploy" / "mosquitto" / "tiercast.conf"
#: Settings whose reason stands above the block that they belong to.
_IN_BLOCKS = {"acl_file", "log_type", "connection_messages"}


def _settings() -> dict[str, str]:
    lines = [line for line in CONF.read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split(" ", 1) for line in lines)


def test_they_are_the_settings_that_we_use_ourselves() -> None:
    found = _settings()
    assert {name: found.get(name) for name, _, _ in mosquitto.TUNED} == {n: v for n, v, _ in mosquitto.TUNED}


def test_each_has_its_reason_above_it() -> None:
    before = ""
    for line in CONF.read_text().splitlines():
        if line and not line.startswith("#") and line.split()[0] not in _IN_BLOCKS:
            assert before.startswith("# "), line
        before = line


async def test_mosquitto_starts_with_them_and_a_daemon_uses_it(tmp_path: Path) -> None:
    program = mosquitto.find()
    if program is None:
        pytest.fail("mosquitto is not installed: apt install mosquitto", pytrace=False)
    tmp_path.chmod(0o755)
    port = free_port("127.0.0.1")
    (tmp_path / "users").write_text(access.render_users({"server": hash_password("pw")}))
    (tmp_path / "acl").write_text(access.render_acl("r", "server"))
    for name in ("users", "acl"):
        (tmp_path / name).chmod(0o644)
    text = CONF.read_text().replace("/etc/mosquitto/tiercast", str(tmp_path))
    assert "listener 1883\n" in text
    (tmp_path / "m.conf").write_text(text.replace("listener 1883\n", f"listener {port} 127.0.0.1\nuser root\n"))
    url = f"mqtt://127.0.0.1:{port}"
    child = await Child.start([program, "-c", str(tmp_path / "m.conf")], name="mosquitto")
    try:
        async with asyncio.timeout(60):
            while True:
                try:
                    await connect_once(url, ("server", "pw"), 5)
                    break
                except ConnectionError:
                    assert child.alive
                    await asyncio.sleep(0.02)
        config = BrokerConfig(mode=url, user="server", password=Secret("pw"))
        async with open_broker(config, folder=tmp_path / "b", region="r", owner="server") as broker:
            assert (broker.kind, broker.url, broker.children_url) == ("external", url, url)
            await broker.set_users({"n1": hash_password("x")})
            assert (tmp_path / "b" / "users").read_text().startswith("n1:$7$")
            assert (tmp_path / "b" / "acl").read_text() == (tmp_path / "acl").read_text()
        wrong = BrokerConfig(mode=url, user="server", password=Secret("no"))
        with pytest.raises(UsageError, match="refuses the login"):
            async with open_broker(wrong, folder=tmp_path / "b", region="r", owner="server"):
                pass
    finally:
        await child.end()
