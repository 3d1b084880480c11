"""A token makes this machine a gateway, with settings of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tiercast_gateway import joining
from tiercast_gateway.config import GatewaySettings
from tiercast_protocol.content.trust.credential import Token
from tiercast_protocol.content.trust.keys import PrivateKey
from tiercast_protocol.errors import UsageError
from tiercast_protocol.node import config
from tiercast_protocol.node.address import TlsFiles
from tiercast_protocol.node.joined import Enrolled
from tiercast_protocol.node.places import place

ENROLLED = Enrolled(
    name="berlin",
    role="gateway",
    region="demo",
    parent="server",
    server="server",
    generation=1,
    url="mqtt://127.0.0.1:1",
    password="x",
    key=PrivateKey.generate(),
)


trusted: list[TlsFiles] = []


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """What `enrol.join` was asked for; it lets anybody in, once."""
    said: list[str] = []
    trusted.clear()

    async def join(token: str, *, role: str, folder: Path, tls: TlsFiles) -> Enrolled:
        said.append(token)
        trusted.append(tls)
        if len(said) > 1:
            raise UsageError(code="node.joined", what="joined")
        folder.mkdir(parents=True, exist_ok=True)
        return ENROLLED

    monkeypatch.setattr(joining.enrol, "join", join)
    monkeypatch.setattr(joining.joined, "load", lambda _folder: ENROLLED)
    return said


async def test_settings_are_written_and_a_port_is_chosen_once(asked: list[str], tmp_path: Path) -> None:
    here = place("gateway", tmp_path / "g")
    await joining.join_region("t", here, listen="", advertise="gw.example:1883", broker="embedded")
    found = config.load(here.config, GatewaySettings)
    assert (found.broker.mode, found.broker.advertise) == ("embedded", "gw.example:1883")
    assert found.broker.listens[1] > 0


async def test_a_mistake_in_the_settings_costs_no_token(asked: list[str], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="telegraph"):
        await joining.join_region("t", place("gateway", tmp_path), listen="nowhere", advertise="", broker="telegraph")
    assert asked == []


async def test_a_join_that_was_cut_off_is_finished_and_a_finished_one_is_refused(
    asked: list[str], tmp_path: Path
) -> None:
    here = place("gateway", tmp_path / "g")
    await joining.join_region("t", here, listen="", advertise="", broker="auto")
    here.config.unlink()
    await joining.join_region("t", here, listen="127.0.0.1:7", advertise="", broker="auto")
    assert config.load(here.config, GatewaySettings).broker.listen == "127.0.0.1:7"
    with pytest.raises(UsageError, match="joined"):
        await joining.join_region("t", here, listen="", advertise="", broker="auto")


async def test_what_to_trust_above_is_used_and_kept(asked: list[str], tmp_path: Path) -> None:
    here, tls = place("gateway", tmp_path / "g"), TlsFiles(ca="/ca.pem", cert="/c.pem", key="/k.pem")
    await joining.join_region("t", here, listen="", advertise="", broker="auto", tls=tls)
    assert trusted == [tls]
    found = config.load(here.config, GatewaySettings)
    assert (found.tls, found.broker.tls) == (tls, TlsFiles())


async def test_the_parents_broker_is_refused_before_the_token_is_used(asked: list[str], tmp_path: Path) -> None:
    token = Token(
        region="demo", parent="server", url="mqtts://b.example:8883", token_id="t", secret=b"s", name="berlin",
        role="gateway", region_key=bytes(32), expires=1,
    )  # fmt: skip
    here = place("gateway", tmp_path / "g")
    with pytest.raises(UsageError, match="one of its own") as caught:
        await joining.join_region(token.text(), here, listen="", advertise="", broker="mqtts://b.example")
    assert caught.value.code == "broker.shared"
    assert asked == []
    await joining.join_region(token.text(), here, listen="", advertise="", broker="mqtts://c.example")
    assert asked == [token.text()]
