"""Processor seconds per GiB moved, tier by tier, beside nginx with curl, rsync and UFTP.

Moved is what a tier sent or took: a gateway's and a server's GiB are those of all its receivers, for that is what the
rivals' servers send; `gateway_once` counts the package once.  Eight receivers, the package at the gateway.
"""

from __future__ import annotations

import hashlib
import os
import statistics
import sys
from pathlib import Path
from typing import Any

from harness import Goals, children, note, random_files, run
from region import Region
from rivals import Nginx, Uftp, install, rsync, run_all
from staged import Round, Site, cpu_seconds

GOALS: Goals = {"gateway": ("<=", 2.0), "endpoint": ("<=", 2.0)}
MIB = int(os.environ.get("CPU_MIB", "256"))
COUNT = 8
ROUNDS = int(os.environ.get("CPU_ROUNDS", "5"))


def ours(folder: Path, tree: Path, broker: str) -> list[Round]:
    """Rounds of Tiercast with one kind of broker; the first warms up and does not count."""
    with Region(folder / broker[:3], broker=broker) as region:
        site = Site(region, COUNT)
        site.build(tree)
        found = [site.distribute() for _ in range(ROUNDS + 1)][1:]
    for one in found:
        note(f"{broker}: {one.seconds:.2f} s, {one.cpu}")
    return found


def rsynced(folder: Path, source: Path, sha256: str) -> tuple[float, float]:
    """Processor seconds of an rsync daemon and of its receivers."""
    folder.mkdir()
    with rsync(folder, source) as (url, pid):
        names = [folder / str(number) for number in range(COUNT)]
        before = sum(map(cpu_seconds, [pid, *children(pid)]))
        _, used = run_all(
            [f"rsync -q {url} {name} && openssl dgst -sha256 {name} && sync {name}" for name in names], sha256
        )
        served = sum(map(cpu_seconds, [pid, *children(pid)])) - before
    return served, used


def work(folder: Path) -> tuple[dict[str, Any], dict[str, float]]:
    """All of them, one after the other."""
    install()
    tree = folder / "tree"
    random_files(tree, MIB << 20, MIB << 20)
    (source,) = tree.iterdir()
    sha256 = hashlib.sha256(source.read_bytes()).hexdigest()
    gib = MIB * COUNT / 1024
    figures: dict[str, float] = {}
    for broker in ("mosquitto", "embedded"):
        rounds = ours(folder, tree, broker)
        mark = "" if broker == "mosquitto" else "_embedded"
        for kind in ("gateway", "endpoint", "broker"):
            figures[kind + mark] = statistics.median(one.cpu[kind] for one in rounds) / gib
        if broker == "mosquitto":
            figures["gateway_once"] = figures["gateway"] * COUNT
    with Nginx(folder / "nginx", source, sha256) as nginx:
        took = [nginx.round(COUNT, "openssl dgst -sha256") for _ in range(ROUNDS)]
        figures["nginx"] = statistics.median(one.server_cpu for one in took) / gib
        figures["curl_openssl"] = statistics.median(one.client_cpu for one in took) / gib
    figures["rsync_server"], figures["rsync_client"] = (used / gib for used in rsynced(folder / "rs", source, sha256))
    if os.geteuid() == 0:
        with Uftp(folder / "uftp", source, sha256, COUNT) as uftp:
            one = uftp.round()
            figures["uftp_server"], figures["uftp_client"] = one.server_cpu / gib, one.client_cpu / gib
    return {"mib": MIB, "receivers": COUNT, "rounds": ROUNDS}, figures


def main() -> int:
    """Entry point."""
    return run("cpu", GOALS, work)


if __name__ == "__main__":
    sys.exit(main())
