"""A broker is only a wire: killed, restarted empty, frozen for a while; the region goes on by itself."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

import pytest

from cluster import asked, assert_balanced, assert_installed, build, random_tree, running, until
from region import Region

BOTH = ("pc-1", "pc-2")


def broker_pid(region: Region, name: str) -> int:
    """The process id of a node's broker, by its own word."""
    return int(asked(region, "status", at=name)["broker"]["pid"])


def kill(pid: int, _: float) -> None:
    """The broker dies; its daemon starts another, which knows nothing."""
    os.kill(pid, signal.SIGKILL)


def freeze(pid: int, seconds: float) -> None:
    """The broker keeps every connection open and does nothing for `seconds`."""
    os.kill(pid, signal.SIGSTOP)
    thaw = time.monotonic() + seconds
    until(lambda: time.monotonic() >= thaw, "the end of the freeze", seconds + 5)
    with suppress(ProcessLookupError):  # its owner took it for dead meanwhile, and started another
        os.kill(pid, signal.SIGCONT)


def one_fault(region: Region, source: Path, owner: str, size: int, *, fault: str, seconds: float) -> None:
    """Order, let a third come through, hurt `owner`'s broker, and see everybody end well."""
    meter = region.meter()
    meter.restart()
    job = region.cli("job", "install", "app", "--on", "pc-1", "--on", "pc-2")["job"]
    until(lambda: meter.bytes()["server -> gateway"] > 0.3 * size, "a third came through")
    {"killed": kill, "frozen": freeze}[fault](broker_pid(region, owner), seconds)
    ended = region.cli("job", "watch", job)["job"]
    assert ended["counts"] == {"done": 2}, ended
    assert_installed(region, list(BOTH), "app", source)
    assert_balanced(region)


def story(broker: str, fault: str, folder: Path, seconds: float) -> None:
    """The same fault at the gateway's broker, then at the server's."""
    with running(broker) as region:
        region.add_server()
        region.add_gateway("gateway")
        for name in BOTH:
            region.add_endpoint(name, "gateway")
        region.cli("link", "set", "gateway", "--rate", "3MB/s")
        for number, owner in enumerate(("gateway", "server")):
            source = random_tree(folder / owner, seed=number, files=30, size=4_000_000)
            package = build(region, source, "app", str(number))
            one_fault(region, source, owner, package["stored_bytes"], fault=fault, seconds=seconds)


@pytest.mark.parametrize("broker", ["embedded", "mosquitto"])
@pytest.mark.parametrize("fault", ["killed", "frozen"])
def test_a_broker_fails_in_the_middle_of_a_transfer(broker: str, fault: str, tmp_path: Path) -> None:
    story(broker, fault, tmp_path, seconds=3)


@pytest.mark.long
@pytest.mark.parametrize("broker", ["embedded", "mosquitto"])
def test_a_broker_is_gone_for_a_minute(broker: str, tmp_path: Path) -> None:
    story(broker, "frozen", tmp_path, seconds=60)
