"""Namespaces for benchmarks: neighbours reach each other, and nothing is left, not even after a kill."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import netns
from cluster import until

pytestmark = pytest.mark.skipif(bool(netns.available()), reason=netns.available() or "-")

STORY = """
import sys
from netns import Network
with Network() as net:
    for name in ("a", "b", "c"):
        net.machine(name)
    net.link("a", "b", "80mbit")
    net.link("b", "c", "")
    print(net.space("c"), net.address("b"), flush=True)
    sys.stdin.read()
"""


def left(prefix: str) -> list[str]:
    return [line for line in netns.command("ip", "netns", "list").splitlines() if line.startswith(prefix)]


@pytest.mark.parametrize("killed", [False, True])
def test_machines_reach_each_other_and_are_taken_down(killed: bool) -> None:
    scripts = str(Path(netns.__file__).parent)
    process = subprocess.Popen(
        [sys.executable, "-c", STORY],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={"PYTHONPATH": scripts},
    )
    assert process.stdout is not None
    assert process.stdin is not None
    with process:
        space, address = process.stdout.readline().split()
        prefix = space.rpartition("-")[0] + "-"
        assert len(left(prefix)) == 3
        connect = f"import socket; socket.create_connection(('{address}', 9), 5)"
        done = subprocess.run(
            ["ip", "netns", "exec", space, sys.executable, "-c", connect], capture_output=True, text=True, check=False
        )
        assert "ConnectionRefusedError" in done.stderr  # somebody is there
        if killed:
            process.kill()
        else:
            process.stdin.close()
    until(lambda: not left(prefix), "nothing is left", 20)
