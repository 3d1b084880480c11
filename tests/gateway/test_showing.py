"""`tiercast-gateway status` for people and for programs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tiercast_gateway.showing import fetch_status, render_status
from tiercast_protocol.errors import UsageError

FOUND = {
    "name": "berlin",
    "region": "demo",
    "role": "gateway",
    "version": "0.1.0",
    "parent": "server",
    "connected": False,
    "broker": {"kind": "embedded", "url": "mqtt://127.0.0.1:1", "pid": 1},
    "depot": {"chunks": 3, "bytes": 2_500_000, "quota": None, "free": 10_000_000_000},
    "children": [
        {"name": "pc", "role": "endpoint", "online": True, "lane": "active", "wanted": 4},
        {"name": "old", "role": "endpoint", "online": False, "lane": "", "wanted": 0},
    ],
}


def test_people_read_lines() -> None:
    text = render_status(FOUND, as_json=False)
    assert "server (not connected)" in text
    assert "pc  endpoint, online, active, 4 chunks wanted" in text
    assert "old  endpoint, offline" in text
    assert "2.5 MB" in text


def test_programs_read_one_line_with_a_schema() -> None:
    text = render_status(FOUND, as_json=True)
    assert "\n" not in text
    assert json.loads(text) == {"schema": 1, "status": FOUND}


async def test_a_gateway_that_does_not_run_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        await fetch_status(tmp_path / "control.sock")
    assert caught.value.code == "daemon.unreachable"
    assert "`tiercast-gateway run`" in caught.value.todo


def test_a_server_has_no_parent_to_show() -> None:
    text = render_status({**FOUND, "role": "server", "parent": "", "connected": True}, as_json=False)
    assert "parent" not in text
