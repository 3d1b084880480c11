"""A broker's settings and files."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tiercast_mqtt.password import verify_password
from tiercast_protocol.errors import ConfigError, UsageError
from tiercast_protocol.node.broker import (
    Broker,
    BrokerConfig,
    check_options,
    connect_once,
    free_port,
    read_users,
    split_listen,
    write_private,
)
from tiercast_protocol.node.config import parse


@pytest.mark.parametrize(
    ("text", "listen"), [("h:1", ("h", 1)), ("[::1]:5", ("::1", 5)), ("10.0.0.1", ("10.0.0.1", 0)), ("::1", ("::1", 0))]
)
def test_where_to_listen(text: str, listen: tuple[str, int]) -> None:
    assert split_listen(text) == listen


@pytest.mark.parametrize("text", ["", ":1", "1883", "h:x", "h:70000", "h:-1"])
def test_where_not_to(text: str) -> None:
    with pytest.raises(ValueError, match="HOST:PORT"):
        split_listen(text)


def test_every_mistake_is_found_at_once() -> None:
    text = 'mode = "rabbit"\nlisten = "h:x"\nadvertise = "h:y"\npassword = 3\ncert = "c.pem"\nuser = "a:b"'
    with pytest.raises(ConfigError) as caught:
        parse(text, BrokerConfig, Path("x"))
    assert {m.key for m in caught.value.mistakes} == {"mode", "listen", "advertise", "password", "cert", "user"}


@pytest.mark.parametrize(
    ("typed", "option"),
    [(("rabbit", "", ""), "--broker"), (("auto", "1883", ""), "--listen"), (("auto", "h:1", "h:x"), "--advertise")],
)
def test_a_mistake_at_the_command_line_names_the_option(typed: tuple[str, str, str], option: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_options(*typed)
    assert caught.value.where == option
    check_options("auto", "", "h:1")


@pytest.mark.parametrize("mode", ["auto", "mosquitto", "embedded", "mqtt://h:1", "mqtts://h"])
def test_modes(mode: str) -> None:
    assert parse(f'mode = "{mode}"', BrokerConfig, Path("x")).mode == mode


async def test_users_of_an_external_broker_are_written_for_its_administrator(tmp_path: Path) -> None:
    broker = Broker("mqtt://h", "mqtt://h", ("o", "p"), tmp_path)
    await broker.set_users({"n": "$7$101$a$b"})
    written = read_users(tmp_path / "users")
    assert written.pop("n") == "$7$101$a$b"
    assert verify_password("p", written["o"])
    await broker.set_users({"n": "$7$101$a$b", "o": "$7$101$c$d"})
    assert read_users(tmp_path / "users") == {"n": "$7$101$a$b", **written}, "our line stays, whoever is called so"
    by_certificate = Broker("mqtts://h", "mqtts://h", ("o", ""), tmp_path)
    await by_certificate.set_users({"n": "$7$101$a$b"})
    assert set(read_users(tmp_path / "users")) == {"n"}
    with pytest.raises(UsageError):
        await broker.set_users({"#": "$7$101$a$b"})


def test_files_are_private_and_replaced_whole(tmp_path: Path) -> None:
    for text in ("one", "two"):
        write_private(tmp_path / "f", text)
        assert (tmp_path / "f").read_text() == text
    assert (tmp_path / "f").stat().st_mode & 0o777 == 0o600
    assert len(list(tmp_path.iterdir())) == 1


def test_a_free_port_is_none_that_an_outgoing_connection_gets_by_chance() -> None:
    first, last = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    assert not [port for port in (free_port("127.0.0.1") for _ in range(50)) if first <= port <= last]


def test_a_free_port_can_be_taken() -> None:
    with socket.create_server(("127.0.0.1", free_port("127.0.0.1"))):
        pass
    with pytest.raises(UsageError, match="can't listen at"):
        free_port("192.0.2.1")


async def test_nobody_there() -> None:
    with pytest.raises(ConnectionError):
        await connect_once(f"mqtt://127.0.0.1:{free_port('127.0.0.1')}", ("a", "b"), 2)
