"""Every daemon is killed with -9 in the middle of transfers and installations; every endpoint verifies in the end, and
the books of every leg are even.

A kill counts only while progress is between 5 and 95 per cent: the bytes that the kernel counted on the
endpoint's link, against the package's.  In every second transfer two daemons die at the same moment: who then comes
back finds the other one gone, too.
"""

from __future__ import annotations

import random
import signal
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from cluster import asked, assert_balanced, assert_installed, build, random_tree, running, until
from linkbytes import Meter
from region import Region

INSTANTS = 10
#: Rounds in which a kill came too late to count are made up for by further ones; a busy machine needs more of them.
ROUNDS = 30
SIZE = 6_000_000
CHAIN = ("server", "repeater", "gateway", "pc-1")


def kill_during_transfer(region: Region, names: Sequence[str], share: float, meter: Meter, total: int) -> float:
    """Kill all of `names` once the endpoint's link carried `share` of `total` in all, and start them again.

    Gives the share at that moment: 1 when the package was there before so much was seen.
    """
    link = "gateway -> pc-1"

    def progress() -> float:
        if asked(region, "job.list", limit=1)[0]["state"] != "open":
            return 1.0
        return meter.bytes()[link] / total

    seen: float = until(lambda: (p := progress()) >= share and p, f"{share:.0%} on {link}")
    for name in names:
        region.kill(name, signal.SIGKILL)
    meter.sample()  # the last word of connections that died with them
    start_again(region, names)
    meter.links = region.meter().links
    return seen


def start_again(region: Region, names: Sequence[str]) -> None:
    """Start these side by side, and wait until all are ready."""
    for ready in [region.launch(region.daemons[name]) for name in names]:
        ready()


@pytest.mark.timeout(900)
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
            meter = region.meter()
            meter.restart()
            victims = list(CHAIN)
            rng.shuffle(victims)
            together = [victims[:2], victims[2:]] if instant % 2 else [[victim] for victim in victims]
            shares = sorted(rng.uniform(0.06, 0.75) for _ in together)
            for names, share in zip(together, shares, strict=True):
                seen = kill_during_transfer(region, names, share, meter, package["stored_bytes"])
                if 0.05 <= seen <= 0.95:
                    kills.update({name: kills[name] + 1 for name in names})
            ended = region.cli("job", "watch", job)["job"]
            assert ended["counts"] == {"done": 2}, ended
            assert_installed(region, ["pc-1", "pc-2"], "app", source)
        assert_balanced(region)
    assert all(count >= INSTANTS for count in kills.values()), kills


def durable(region: Region, gateway: str) -> int:
    """Bytes that the index of a gateway's depot names: all of them lie on its disk."""
    index = region.daemons[gateway].folder / "depot" / "index.db"
    with closing(sqlite3.connect(f"file:{index}?mode=ro", uri=True)) as connection:
        return int(connection.execute("SELECT coalesce(sum(size), 0) FROM chunks").fetchone()[0])


def test_what_a_killed_gateway_had_made_durable_does_not_cross_its_link_again(tmp_path: Path) -> None:
    """What was under way, or came in the last half second, may.

    The gateway fetches for itself alone: an endpoint below would hold what the gateway forgot.  Before the kill its
    link is held back until more than half of the package is durable, so that no disk is too slow.
    """
    source = random_tree(tmp_path / "app", seed=31, files=20, size=12_000_000)
    with running() as region:
        region.add_server()
        region.add_gateway("gateway")
        region.cli("link", "set", "gateway", "--rate", "3MB/s")
        package = build(region, source, "app", "1")["stored_bytes"]
        meter, link = region.meter(), "server -> gateway"
        meter.restart()
        job = region.cli("job", "preload", "app", "--on", "gateway")["job"]
        until(lambda: meter.bytes()[link] >= 0.6 * package, "60 % came")
        region.cli("link", "set", "gateway", "--rate", "20KB/s")
        until(lambda: durable(region, "gateway") >= 0.55 * package, "more than half is durable")
        region.kill("gateway", signal.SIGKILL)
        before = meter.bytes()[link]
        assert before <= 0.95 * package
        region.cli("link", "set", "gateway", "--rate", "3MB/s")
        region.restart("gateway")
        assert region.cli("job", "watch", job)["job"]["counts"] == {"done": 1}
        again = before + region.meter().bytes()[link] - package
        assert again <= 0.25 * before, f"{again} of {before} bytes came twice"
        assert_balanced(region)


@pytest.mark.timeout(600)
def test_each_daemon_killed_at_ten_instants_of_an_installation(tmp_path: Path) -> None:
    """A program of twenty steps is running; the instants are between its steps 1 and 19.

    When the agent dies, the program is `interrupted` and not run again, or run again where it says that it may be.
    When a tier above dies, nothing happens to it.
    """
    rng = random.Random(21)
    with running() as region:
        region.add_server()
        region.add_gateway("gateway")
        region.add_endpoint("pc-1", "gateway")
        for instant in range(INSTANTS):
            idempotent = instant % 2 == 0
            source = random_tree(tmp_path / f"i{instant}", seed=50 + instant, files=6, size=200_000)
            runs, at = tmp_path / f"runs{instant}", tmp_path / f"at{instant}"
            when = ("before", "after")[instant // 2 % 2]
            stops = sorted(rng.sample(range(1, 20), 3))
            victims = [*rng.sample(["server", "gateway"], 2), "pc-1"]
            holds = [tmp_path / f"hold{instant}.{stop}" for stop in stops]
            program = source / "hook.sh"
            program.write_text(
                f"#!/bin/sh\necho run >> {runs}\ni=0\nwhile [ $i -lt 20 ]; do\n  echo $i > {at}\n"
                f"  while [ -e {tmp_path}/hold{instant}.$i ]; do sleep 0.02; done\n  i=$((i+1))\ndone\n"
            )
            program.chmod(0o755)
            hook = f'[run_{when}]\nargv = ["./hook.sh"]\nidempotent = {str(idempotent).lower()}\n'
            (source / "package.toml").write_text(f'name = "app{instant}"\nversion = "1"\n{hook}')
            region.cli("package", "build", str(source))
            for hold in holds:
                hold.touch()
            job = region.cli("job", "install", f"app{instant}", "--on", "pc-1")["job"]
            coming = []
            for victim, stop, hold in zip(victims, stops, holds, strict=True):
                until(lambda at=at, stop=stop: at.exists() and at.read_text() == f"{stop}\n", f"step {stop} of 20")
                region.kill(victim, signal.SIGKILL)
                hold.unlink()
                # The program goes on meanwhile: nobody above is needed for its next step.
                coming.append(region.launch(region.daemons[victim]))
            for ready in coming:
                ready()
            ended = region.cli("job", "watch", job, check=False)["job"]
            ran = runs.read_text().count("run")
            if idempotent:
                assert ended["counts"] == {"done": 1}, ended
                assert ran == 2
            else:
                assert ended["counts"] == {"interrupted": 1}, ended
                assert ran == 1
        assert_balanced(region)
