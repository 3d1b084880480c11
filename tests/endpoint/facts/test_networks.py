"""Networks of this machine: Ethernet alone, and what can't be read is left out."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from tiercast_endpoint.facts import networks


def test_only_ethernet_with_an_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, mac, kind in (
        ("eth0", "52:54:00:AA:BB:CC", "1"),
        ("eth1", "52:54:00:aa:bb:dd", "1"),
        ("lo", "00:00:00:00:00:00", "772"),
        ("tun0", "", "65534"),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "address").write_text(mac + "\n")
        (tmp_path / name / "type").write_text(kind + "\n")

    def ioctl(_fd: int, request: int, asked: bytes) -> bytes:
        if asked.startswith(b"eth1"):
            raise OSError("no address")
        return bytes(20) + socket.inet_aton("10.1.0.5" if request == 0x8915 else "255.255.255.0")

    monkeypatch.setattr(networks.fcntl, "ioctl", ioctl)
    assert networks.read_networks(tmp_path) == {"52:54:00:aa:bb:cc": "10.1.0.5/24"}
    assert networks.read_networks(tmp_path / "none") == {}


def test_this_machine_can_be_asked() -> None:
    found: dict[str, Any] = networks.read_networks()
    assert all("/" in network for network in found.values())
