"""Opening a broker: which one, and what goes wrong."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from tiercast_protocol.errors import StateError, UsageError
from tiercast_protocol.node import mosquitto
from tiercast_protocol.node.broker import connect_once, free_port, read_users
from tiercast_protocol.node.brokers import BrokerConfig, open_broker
from tiercast_protocol.node.config import Secret


async def test_auto_takes_the_embedded_one_where_nothing_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mosquitto, "find", lambda: None)
    config = BrokerConfig(listen=f"127.0.0.1:{free_port('127.0.0.1')}", advertise="site.example:7000")
    async with open_broker(config, folder=tmp_path / "b", region="r", owner="g1") as broker:
        assert broker.kind == "embedded"
        assert broker.children_url == "mqtt://site.example:7000"
        assert broker.pid is not None
        assert Path(f"/proc/{broker.pid}").exists()
        await connect_once(broker.url, broker.owner_login, 5)
        pid = broker.pid
    assert not Path(f"/proc/{pid}").exists()


async def test_mosquitto_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mosquitto, "find", lambda: None)
    with pytest.raises(UsageError, match="not installed") as caught:
        async with open_broker(BrokerConfig(mode="mosquitto"), folder=tmp_path, region="r", owner="o"):
            pass
    assert "apt install mosquitto" in caught.value.todo


@pytest.mark.parametrize("mode", ["mosquitto", "embedded"])
async def test_a_port_that_is_taken(tmp_path: Path, mode: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match="does not start") as caught:
            async with open_broker(
                BrokerConfig(mode=mode, listen=f"127.0.0.1:{port}"), folder=tmp_path, region="r", owner="o"
            ):
                pass
    assert caught.value.code == "broker.start"
    assert str(port) in str(caught.value)


async def test_an_error_within_is_not_ours(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="boom"):
        async with open_broker(BrokerConfig(mode="embedded"), folder=tmp_path, region="r", owner="o"):
            raise RuntimeError("boom")


async def test_a_folder_that_can_not_be(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("")
    with pytest.raises(StateError):
        async with open_broker(BrokerConfig(mode="embedded"), folder=tmp_path / "f", region="r", owner="o"):
            pass


async def test_an_external_one_may_still_be_away(tmp_path: Path) -> None:
    url = f"mqtt://127.0.0.1:{free_port('127.0.0.1')}"
    async with open_broker(BrokerConfig(mode=url), folder=tmp_path, region="r", owner="o") as broker:
        assert (broker.kind, broker.url, broker.pid) == ("external", url, None)
        assert broker.owner_login == ("o", "")


async def test_an_external_one_has_its_own_login_and_another_address_for_children(tmp_path: Path) -> None:
    port = free_port("127.0.0.1")
    config = BrokerConfig(
        mode=f"mqtt://127.0.0.1:{port}", advertise="site.example", user="tiercast", password=Secret("p")
    )
    (tmp_path / "users").write_text("n:$7$101$a$b\n")
    hashes = set()
    for _ in range(2):
        async with open_broker(config, folder=tmp_path, region="r", owner="o") as broker:
            assert broker.children_url == f"mqtt://site.example:{port}"
            assert broker.owner_login == ("tiercast", "p")
            assert "user tiercast\n" in (tmp_path / "acl").read_text()
            users = read_users(tmp_path / "users")
            assert users["n"] == "$7$101$a$b", "nobody of before is left out"
            hashes.add(users["tiercast"])
    assert len(hashes) == 1, "another hash would end our sessions"


async def test_files_for_tls_that_can_not_work_are_told_before_the_start(tmp_path: Path) -> None:
    config = BrokerConfig(mode="embedded", cert="/none.pem", key="/none.key")
    with pytest.raises(UsageError, match="No such file") as caught:
        async with open_broker(config, folder=tmp_path, region="r", owner="o"):
            pass
    assert caught.value.code == "broker.tls"


@pytest.mark.parametrize("mode", ["mosquitto", "embedded"])
async def test_a_long_folder_is_no_obstacle(tmp_path: Path, mode: str) -> None:
    folder = tmp_path / ("x" * 60) / ("y" * 60) / "b"
    async with open_broker(BrokerConfig(mode=mode), folder=folder, region="r", owner="o") as broker:
        assert broker.url.startswith("unix://")
        assert len(os.fsencode(broker.url)) < 115
        path = Path(broker.url.removeprefix("unix://"))
    if path.exists():
        path.unlink()
    path.parent.rmdir()
