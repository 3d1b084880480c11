"""Every daemon is killed with -9 in the middle of transfers and installations; every endpoint verifies in the end.

A kill counts only while progress is between 5 and 95 per cent: the bytes that the kernel counted on the
endpoint's link, against the package's.
"""

from __future__ import annotations

import random
import signal
from pathlib import Path

import pytest

from cluster import assert_installed, build, random_tree, running, until
from region import Region

INSTANTS = 10
#: Rounds in which a kill came too late to count are made up for by further ones.
ROUNDS = 14
SIZE = 6_000_000
CHAIN = ("server", "repeater", "gateway", "pc-1")


def kill_during_transfer(region: Region, name: str, share: float, carried: dict[str, int], total: int) -> float:
    """Kill `name` once the endpoint's link carried `share` of `total` in all; the share at that moment."""
    meter = region.meter()
    meter.restart()
    link = "gateway -> pc-1"

    def progress() -> float:
        return (carried["bytes"] + meter.bytes()[link]) / total

    seen: float = until(lambda: (p := progress()) >= share and p, f"{share:.0%} on {link}", 90)
    region.kill(name, signal.SIGKILL)
    carried["bytes"] += meter.bytes()[link]
    return seen


@pytest.mark.timeout(600)
def test_each_daemon_killed_at_ten_instants_of_a_transfer(tmp_path: Path) -> None:
    rng = random.Random(20)
    kills: dict[str, int] = dict.fromkeys(CHAIN, 0)
    with running() as region:
        region.add_server()
        region.add_gateway("repeater")
        region.add_gateway("gateway", "repeater")
        region.add_endpoint("pc-1", "gateway")
        region.add_endpoint("pc-2", "gateway")
        region.cli("link", "set", "repeater", "--rate", "3MB/s")
        for instant in range(ROUNDS):
            if all(count >= INSTANTS for count in kills.values()):
                break
            source = random_tree(tmp_path / f"v{instant}", seed=instant, files=20, size=SIZE * 2 // 3)
            package = build(region, source, "app", str(instant))
            job = region.cli("job", "install", f"app={instant}", "--on", "pc-1", "--on", "pc-2")["job"]
            carried = {"bytes": 0}
            shares = sorted(rng.uniform(0.06, 0.75) for _ in CHAIN)
            victims = list(CHAIN)
            rng.shuffle(victims)
            for victim, share in zip(victims, shares, strict=True):
                seen = kill_during_transfer(region, victim, share, carried, package["stored_bytes"])
                if 0.05 <= seen <= 0.95:
                    kills[victim] += 1
                region.restart(victim)
            ended = region.cli("job", "watch", job)["job"]
            assert ended["counts"] == {"done": 2}, ended
            assert_installed(region, ["pc-1", "pc-2"], "app", source)
    assert all(count >= INSTANTS for count in kills.values()), kills


@pytest.mark.timeout(600)
def test_the_agent_killed_at_ten_instants_of_an_installation(tmp_path: Path) -> None:
    """A program is running when the agent dies: it is `interrupted` and not run again, or run again when it may."""
    with running() as region:
        region.add_server()
        region.add_endpoint("pc-1")
        for instant in range(INSTANTS):
            idempotent = instant % 2 == 0
            source = random_tree(tmp_path / f"i{instant}", seed=50 + instant, files=6, size=200_000)
            runs, gate = tmp_path / f"runs{instant}", tmp_path / f"gate{instant}"
            when = ("before", "after")[instant // 2 % 2]
            program = source / "hook.sh"
            program.write_text(f"#!/bin/sh\necho run >> {runs}\nwhile [ ! -e {gate} ]; do sleep 0.02; done\n")
            program.chmod(0o755)
            hook = f'[run_{when}]\nargv = ["./hook.sh"]\nidempotent = {str(idempotent).lower()}\n'
            (source / "package.toml").write_text(f'name = "app{instant}"\nversion = "1"\n{hook}')
            region.cli("package", "build", str(source))
            job = region.cli("job", "install", f"app{instant}", "--on", "pc-1")["job"]
            until(runs.exists, "the program runs")
            region.kill("pc-1", signal.SIGKILL)
            gate.touch()
            region.restart("pc-1")
            ended = region.cli("job", "watch", job, check=False)["job"]
            ran = runs.read_text().count("run")
            if idempotent:
                assert ended["counts"] == {"done": 1}, ended
                assert ran == 2
            else:
                assert ended["counts"] == {"interrupted": 1}, ended
                assert ran == 1
