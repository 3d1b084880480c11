"""mosquitto's settings."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tiercast_protocol.node import mosquitto
from tiercast_protocol.node.mosquitto import Listener
from tiercast_protocol.wire import codec, frame


def test_listeners() -> None:
    assert Listener("127.0.0.1", 1883).lines() == ["listener 1883 127.0.0.1"]
    assert Listener(path="/x/s").lines() == ["listener 0 /x/s"]
    assert Listener("h", 8883, cert="c", key="k").lines() == ["listener 8883 h", "certfile c", "keyfile k"]
    assert Listener("h", 8883, cert="c", key="k", ca="a").lines()[3:] == ["cafile a", "require_certificate true"]


@pytest.mark.parametrize("uid", [0, 1000])
def test_it_stays_our_user(monkeypatch: pytest.MonkeyPatch, uid: int) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    text = mosquitto.render([Listener("h", 1)], users=Path("/u"), acl=Path("/a"))
    assert ("\nuser root\n" in text) == (uid == 0)
    assert "password_file /u\nacl_file /a\n" in text
    assert text.endswith("\nlistener 1 h\n")


def test_a_packet_holds_the_largest_frame_and_message() -> None:
    headers = 4 + frame.MAX_PIECES * frame.PIECE_HEADER + 300
    assert frame.MAX_FRAME + headers < mosquitto.MAX_PACKET
    assert codec.MAX_MESSAGE + 1024 < mosquitto.MAX_PACKET


def test_what_matters_is_said() -> None:
    settings = {name: value for name, value, _ in mosquitto.TUNED}
    assert settings["allow_anonymous"] == "false"
    assert settings["persistence"] == "false"
    assert settings["set_tcp_nodelay"] == "true"
    assert int(settings["max_queued_messages"]) > 0  # 0 is without a bound


def test_it_is_found_outside_of_the_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "mosquitto"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(mosquitto, "_FURTHER", ())
    assert mosquitto.find() is None
    monkeypatch.setattr(mosquitto, "_FURTHER", (str(tmp_path),))
    assert mosquitto.find() == str(program)
