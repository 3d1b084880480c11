"""Bytes over every link of a tree of three tiers: first installation, upgrades, and the same again."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import zstandard

from harness import Goals, every, note, run
from region import Region, RegionError
from tree import change, copy_real_tree

GOALS: Goals = {
    "first": ("<=", 1.02),
    "first_vs_tar": ("<=", 1.12),
    "upgrade": ("<=", 1.2),
    "upgrade_small": ("<=", 256 << 10),
    "again": ("<=", 16 << 10),
}
EDIT = 4096


def build(region: Region, tree: Path, version: str) -> dict[str, Any]:
    """Package the tree."""
    answer = region.cli("package", "build", str(tree), "--name", "lib", "--version", version)
    package: dict[str, Any] = answer["package"]
    return package


def install(region: Region, version: str) -> int:
    """Install on all endpoints; bytes of the busiest link, from the order to the last receipt."""
    meter = region.meter()
    meter.restart()
    with every(0.2, meter.sample):
        job = region.cli("job", "install", f"lib={version}", "--group", "all", "--watch")
    if job["job"]["state"] != "done":
        raise RegionError(f"the job ended badly: {job}")
    carried = meter.bytes()
    note(f"{version}: " + ", ".join(f"{link} {count}" for link, count in carried.items()))
    return max(carried.values())


def tar_zstd(tree: Path) -> int:
    """Bytes of `tar | zstd -3`."""
    tar = subprocess.run(["tar", "--sort=name", "-cf", "-", "."], cwd=tree, capture_output=True, check=True).stdout
    return len(zstandard.ZstdCompressor(level=3).compress(tar))


def edit(tree: Path) -> None:
    """Change 4 KiB in the middle of one middle-sized file."""
    files = sorted((p for p in tree.rglob("*") if p.is_file()), key=lambda p: (p.stat().st_size, str(p)))
    path = files[len(files) * 9 // 10]
    data = bytearray(path.read_bytes())
    at = max(0, len(data) // 2 - EDIT // 2)
    data[at : at + EDIT] = random.Random(4).randbytes(len(data[at : at + EDIT]))
    path.write_bytes(data)


def work(folder: Path) -> tuple[dict[str, Any], dict[str, float]]:
    """Server, repeater, two gateways, six endpoints."""
    tree = folder / "tree"
    files, size = copy_real_tree(tree)
    with Region(folder / "r") as region:
        region.add_server()
        region.add_gateway("repeater")
        endpoints = []
        for gateway in ("north", "south"):
            region.add_gateway(gateway, "repeater")
            below = [f"{gateway}-{number}" for number in (1, 2, 3)]
            region.add_endpoints(below, gateway)
            endpoints += below
        region.cli("group", "create", "all", *endpoints)
        first = build(region, tree, "1")
        tar = tar_zstd(tree)
        first_bytes = install(region, "1")
        change(tree, 0.05)
        upgrade = build(region, tree, "2")
        upgrade_bytes = install(region, "2")
        edit(tree)
        small = build(region, tree, "3")
        small_bytes = install(region, "3")
        again = build(region, tree, "3")
        again_bytes = install(region, "3")
    work_done = {
        "files": files, "bytes": size, "endpoints": 6, "links": 9,
        "stored_bytes": first["stored_bytes"], "tar_zstd3": tar,
        "upgrade_chunk_bytes": upgrade["sent_bytes"], "small_chunk_bytes": small["sent_bytes"],
        "again_created": again["created"],
    }  # fmt: skip
    return work_done, {
        "first": first_bytes / first["stored_bytes"],
        "first_vs_tar": first_bytes / tar,
        "upgrade": upgrade_bytes / upgrade["sent_bytes"],
        "upgrade_small": float(small_bytes),
        "again": float(again_bytes),
    }


def main() -> int:
    """Entry point."""
    return run("bytes", GOALS, work)


if __name__ == "__main__":
    sys.exit(main())
