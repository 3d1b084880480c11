"""One file to many on this machine: Tiercast beside nginx with curl, UFTP multicast, and MQTT without Tiercast.

Throughput is bytes x receivers / wall, from the order (or the request) until the last receiver has every byte verified
and synced.  Ours are real agents below a real gateway that holds the package; see staged.py for what is measured.
Rounds go in turn, ours and each rival's; a figure is the median of the pairs' ratios.
"""

from __future__ import annotations

import hashlib
import os
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness import Goals, note, random_files, run
from region import Region, RegionError
from rivals import Nginx, Uftp, install
from staged import Site
from subscribers import Way, flow

GOALS: Goals = {
    "nginx_openssl_8": (">=", 1.5),
    "nginx_openssl_32": (">=", 1.5),
    "nginx_sha256sum_8": (">=", 3.0),
    "uftp_8": (">=", 2.0),
    "bare_8": (">=", 0.8),
}
MIB = int(os.environ.get("FANOUT_MIB", "256"))
PAIRS = int(os.environ.get("FANOUT_PAIRS", "5"))
MANY = int(os.environ.get("FANOUT_MANY", "32"))
OPENSSL = "openssl dgst -sha256"


class Table:
    """Throughputs in MiB/s by name, in the order of the rounds."""

    def __init__(self) -> None:
        self.rows: dict[str, list[float]] = {}

    def add(self, name: str, count: int, seconds: float) -> None:
        """One round."""
        rate = MIB * count / seconds
        self.rows.setdefault(name, []).append(rate)
        note(f"{name:<24}{rate:8.0f} MiB/s")

    def ratios(self, ours: str, rival: str) -> list[float]:
        """Pair by pair."""
        return [a / b for a, b in zip(self.rows[ours], self.rows[rival], strict=False)]


def rounds(folder: Path, tree: Path, count: int, table: Table, others: dict[str, Callable[[], float]]) -> None:
    """Pairs with `count` receivers: ours below mosquitto, then every rival."""
    with Region(folder / f"m{count}", broker="mosquitto") as region:
        site = Site(region, count)
        site.build(tree)
        site.distribute()  # one round to warm up: nothing of it counts
        for act in others.values():
            act()
        for _ in range(PAIRS):
            table.add(f"tiercast_{count}", count, site.distribute().seconds)
            for name, act in others.items():
                table.add(name, count, act())


def work(folder: Path) -> tuple[dict[str, Any], dict[str, float]]:
    """8 receivers against all, 32 against nginx, and the embedded broker beside."""
    install()
    tree = folder / "tree"
    random_files(tree, MIB << 20, MIB << 20)
    (source,) = tree.iterdir()
    sha256 = hashlib.sha256(source.read_bytes()).hexdigest()
    table = Table()
    lines: dict[str, str] = {}
    with Nginx(folder / "nginx", source, sha256) as nginx:
        eight: dict[str, Callable[[], float]] = {
            "nginx_openssl_8": lambda: nginx.round(8, OPENSSL).seconds,
            "nginx_sha256sum_8": lambda: nginx.round(8, "sha256sum").seconds,
            "bare_8": lambda: flow("mosquitto", source, 8, folder / "bare", Way()).seconds,
        }
        if os.geteuid() == 0:
            with Uftp(folder / "uftp", source, sha256, 8) as uftp:
                rounds(folder, tree, 8, table, eight | {"uftp_8": lambda: uftp.round().seconds})
                lines |= uftp.lines
        else:
            rounds(folder, tree, 8, table, eight)
        many = {f"nginx_openssl_{MANY}": lambda: nginx.round(MANY, OPENSSL).seconds}
        rounds(folder, tree, MANY, table, many)
        lines |= nginx.lines
    with Region(folder / "emb", broker="embedded") as region:
        site = Site(region, 8)
        site.build(tree)
        for _ in range(2):
            table.add("tiercast_embedded_8", 8, site.distribute().seconds)
    return _figures(table, lines)


def _figures(table: Table, lines: dict[str, str]) -> tuple[dict[str, Any], dict[str, float]]:
    figures: dict[str, float] = {}
    spread: dict[str, list[float]] = {}
    for name in GOALS:
        ours = f"tiercast_{name.rpartition('_')[2]}"
        if name not in table.rows:
            raise RegionError(f"{name} was not measured (UFTP needs root for its namespaces)")
        ratios = table.ratios(ours, name)
        figures[name] = statistics.median(ratios)
        spread[name] = [round(min(ratios), 3), round(max(ratios), 3)]
    for name, rates in table.rows.items():
        figures[f"mibs_{name}"] = statistics.median(rates)
    done = {"mib": MIB, "pairs": PAIRS, "many": MANY, "spread": spread, "commands": lines}
    for name, line in lines.items():
        note(f"{name}: {line}")
    return done, figures


def main() -> int:
    """Entry point."""
    return run("fanout", GOALS, work)


if __name__ == "__main__":
    sys.exit(main())
