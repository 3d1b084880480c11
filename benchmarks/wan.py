"""Two sites of four endpoints, each site behind 100 Mbit/s (`tc tbf` between namespaces), and a chain of four tiers.

Beside: one curl over the same link; and nginx with a cold proxy_cache and its lock at each site, four curls below it.
Every round moves a new incompressible file, in turn by all of them. Times are to the last synced and verified copy.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import statistics
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import harness
from harness import Goals, every, note, run
from netns import Network
from ordering import order
from region import Region
from rivals import Nginx, install, run_all

GOALS: Goals = {
    "one_curl": ("<=", 1.05),
    "link_bytes": ("<=", 1.02),
    "four_tiers": ("<=", 1.10),
    "nginx_cache": ("<=", 1.0),
}
SIZES = (32 << 20, 256 << 20)
SITES = ("north", "south")
CHAIN = ("repeater", "edge", "deep")
PORT = 8080
DIGEST = "openssl dgst -sha256"


class Field:
    """The network, the region and the rivals' servers."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder, self.tree = folder, folder / "tree"
        self.lines: dict[str, str] = {}
        self.net = stack.enter_context(Network())
        for name in ("server", *SITES, *CHAIN):
            self.net.machine(name)
        for upper, lower in (("server", "north"), ("server", "south"), ("server", "repeater"), ("repeater", "edge"),
                             ("edge", "deep")):  # fmt: skip
            self.net.link(upper, lower)
        self.region = stack.enter_context(Region(folder / "r", broker="mosquitto"))
        self.ends = [f"{site}-{number}" for site in SITES for number in (1, 2, 3, 4)]
        self._place("server", "server")
        self.region.add_server()
        for site in SITES:
            self._place(site, site)
            self.region.add_gateway(site)
        for end in self.ends:
            self._place(end, end.partition("-")[0])
            self.region.add_endpoint(end, end.partition("-")[0])
        for parent, name in (("server", "repeater"), ("repeater", "edge")):
            self._place(name, name)
            self.region.add_gateway(name, parent)
        self._place("deep", "deep")
        self.region.add_endpoint("deep", "edge")
        self.tree.mkdir()
        address, space = self.net.address("server"), self.net.space("server")
        self.origin = stack.enter_context(Nginx(folder / "origin", self.tree / "blob", "", address, PORT, space))

    def _place(self, name: str, machine: str) -> None:
        self.region.places[name] = (self.net.space(machine), self.net.address(machine))

    def make(self, size: int) -> str:
        """A new file; its SHA-256."""
        digest = hashlib.sha256()
        with (self.tree / "blob").open("wb") as file:
            for _ in range(size >> 20):
                block = os.urandom(1 << 20)
                digest.update(block)
                file.write(block)
        return digest.hexdigest()

    def curl(self, machine: str, digest: str) -> float:
        """One curl over the machine's link to the server."""
        self.origin.sha256 = digest
        shell = self.origin.shell(self.folder / "got", DIGEST)
        self.lines |= {"curl": shell, "server": self.origin.lines["nginx"]}
        return run_all([shell], digest, [self.net.space(machine)])[0]

    def cached(self, digest: str) -> float:
        """An nginx with a cold cache at each site, four curls each."""
        with ExitStack() as stack:
            shells, spaces = [], []
            for site in SITES:
                folder, space = self.folder / f"cache-{site}", self.net.space(site)
                shutil.rmtree(folder, ignore_errors=True)
                host, above = self.net.address(site), f"{self.origin.host}:{self.origin.port}"
                cache = Nginx(folder, self.tree / "blob", digest, host, PORT, space, above)
                stack.enter_context(cache)
                shells += [cache.shell(self.folder / f"got-{site}-{number}", DIGEST) for number in range(4)]
                spaces += [space] * 4
            self.lines |= {"curl at a site": shells[0], "site": cache.lines["nginx"]}
            return run_all(shells, digest, spaces)[0]

    def round(self, size: int, number: int) -> dict[str, float]:
        """Everybody once, the order of the contestants turning with the rounds."""
        digest = self.make(size)
        name = f"wan{size >> 20}-{number}"
        package = self.region.cli("package", "build", str(self.tree), "--name", name, "--version", "1")["package"]
        meter = self.region.meter()
        found: dict[str, float] = {}

        def ours() -> None:
            meter.restart()
            with every(1.0, meter.sample):
                found["tiercast"] = order(self.region, "install", name, self.ends)
            links = meter.bytes()
            worst = max(links[f"server -> {site}"] for site in SITES)
            found["link_bytes"] = worst / package["stored_bytes"]

        def chain() -> None:
            found["chain"] = order(self.region, "install", name, ["deep"])

        def curl() -> None:
            found["curl"] = self.curl("north", digest)

        def cache() -> None:
            found["cache"] = self.cached(digest)

        contestants = [ours, curl, chain, cache]
        for turn in range(4):
            contestants[(turn + number) % 4]()
        note(f"{size >> 20} MiB: " + ", ".join(f"{key} {value:.3f}" for key, value in found.items()))
        for file in self.folder.glob("got*"):
            file.unlink()
        return found


def work(folder: Path) -> tuple[dict[str, Any], dict[str, float]]:
    """All rounds; of both sizes the worse median counts."""
    install()
    folder.chmod(0o755)
    rounds: dict[int, list[dict[str, float]]] = {size: [] for size in SIZES}
    with ExitStack() as stack:
        field = Field(folder, stack)
        for number in range(harness.pairs()):
            for size in SIZES:
                rounds[size].append(field.round(size, number))
    ratios = {
        size: {
            "one_curl": [one["tiercast"] / one["curl"] for one in found],
            "four_tiers": [one["chain"] / one["curl"] for one in found],
            "nginx_cache": [one["tiercast"] / one["cache"] for one in found],
            "link_bytes": [one["link_bytes"] for one in found],
        }
        for size, found in rounds.items()
    }
    done = {
        "sizes": list(SIZES), "sites": 2, "endpoints": 8, "rate": "100mbit", "pairs": harness.pairs(),
        "seconds": {f"{s >> 20}": [{k: round(v, 3) for k, v in one.items()} for one in f] for s, f in rounds.items()},
        "rivals": field.lines,
        "ratios": {f"{s >> 20}": {k: harness.spread(v) for k, v in r.items()} for s, r in ratios.items()},
    }  # fmt: skip
    return done, {key: max(statistics.median(ratios[size][key]) for size in SIZES) for key in GOALS}


def main() -> int:
    """Entry point."""
    return run("wan", GOALS, work)


if __name__ == "__main__":
    sys.exit(main())
