"""A package becomes installed software: the agent beside `dpkg -i` and beside `cp -a` with sync.

Rules
- Each run has a new file system of its own (disks.py) with all it needs on it, synced before the clock starts: ours the
  chunks in the agent's store, dpkg's an uncompressed .deb, cp's the folder.  All three have them in the page cache.
- Ours is from the order to the signed receipt: verified, synced, switched, the old version's place settled.  dpkg syncs
  by itself, cp is followed by `sync -f`.
- `undo_ms`: a second version, whose run-after fails, is switched to and taken back; from the record of that step to its
  end, the old version stands again.
- `placed_vs_cp`: the same files placed by an action at a path of the machine, out of the tree that is built first.
- `halves_vs_one`, with --halves: the same installation by an agent of two halves (two processes, each with its journal;
  chunks cross a socket and are proved in the half that writes), right after the one of one process.
- Processor seconds stand beside: on a machine that is shared they say more than the clock.
- What was installed is compared with the folder, byte for byte, once.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import pickle
import random
import resource
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.endpoint.lab import Package, Region

from disks import new_disk, settled
from harness import Goals, asked, note, pairs, run, spread
from tiercast_cli.packager.seal import TreeSealer
from tiercast_protocol.content.package.definition import Definition, parse_definition
from tiercast_protocol.content.package.programs import Program
from tiercast_protocol.content.trust.keys import PrivateKey
from tiercast_protocol.node.chunks.disk import DiskStore

GOALS: Goals = {
    "vs_dpkg": ("<=", 0.8),
    "vs_cp": ("<=", 1.7),
    "switch_ms": ("<=", 1000),
    "undo_ms": ("<=", 2000),
}
HERE = Path(__file__).parent
PLACED = """name = "placed"
version = "1"
[[action]]
type = "files"
path = "/opt/big"
source = "all"
"""
FAILING = Program(("/bin/false",))


def make_tree(folder: Path, files: int, size: int) -> None:
    """Many small files and a few large ones, half of them of bytes that do not compress, half of hexadecimal digits."""
    chance = random.Random(files)
    weights = [chance.lognormvariate(9.5, 1.6) for _ in range(files)]
    scale = size / sum(weights)
    for number, weight in enumerate(weights):
        path = folder / f"part{number // 100:03}" / f"file{number % 100:02}"
        path.parent.mkdir(parents=True, exist_ok=True)
        length = max(1, round(weight * scale))
        path.write_bytes(
            chance.randbytes(length // 2 + 1).hex().encode()[:length] if number % 2 else chance.randbytes(length)
        )


async def fill(folder: Path, store_folder: Path, definition: Definition) -> bytes:
    """All chunks of the folder as a package lie in the store; the package's name."""
    sealer = TreeSealer(folder, definition, level=3)
    async with DiskStore.open(store_folder, reserve=0) as store:
        for batch in sealer.batches():
            await store.put_many(list(batch.stored()))
    return sealer.sealed.digest


def order(folder: Path, job: str, definition: Definition, root: bytes, region: Region) -> None:
    """What the child is told to do."""
    package = Package(definition.name, definition.version, root, {}, {}, set())
    (folder / f"{job}.order").write_bytes(pickle.dumps((region, region.order(job, "install", package))))


def ours(folder: Path, job: str, *how: str) -> dict[str, Any]:
    """One life of the agent, with what it tells."""
    command = [sys.executable, str(HERE / "one_life.py"), str(folder), job, *how]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


def build_deb(tree: Path, folder: Path) -> Path:
    """The same files in a .deb that nothing has to unpack."""
    top = folder / "deb"
    (top / "DEBIAN").mkdir(parents=True)
    (top / "DEBIAN/control").write_text(
        "Package: big\nVersion: 1\nArchitecture: all\nMaintainer: nobody <nobody@example.org>\nDescription: files\n"
    )
    shutil.copytree(tree, top / "opt/big", copy_function=os.link)
    made = folder / "big.deb"
    subprocess.run(
        ["dpkg-deb", "--root-owner-group", "-Znone", "-b", str(top), str(made)], check=True, stdout=subprocess.DEVNULL
    )
    shutil.rmtree(top)
    return made


def timed(command: list[str], env: dict[str, str] | None = None) -> tuple[float, float]:
    """Seconds and processor seconds of a command and all that it starts."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=env)
    seconds, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def dpkg(deb: Path, top: Path) -> tuple[list[str], float, float]:
    """`dpkg -i` into a root directory of its own."""
    for name in ("info", "updates", "triggers"):
        (top / "root/var/lib/dpkg" / name).mkdir(parents=True)
    for name in ("status", "available"):
        (top / "root/var/lib/dpkg" / name).touch()
    shutil.copy(deb, top / "big.deb")
    settled(top)
    command = ["dpkg", f"--root={top}/root", "--log=/dev/null", "-i", f"{top}/big.deb"]
    path = "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin"
    return command, *timed(command, {"PATH": path, "LANG": "C.UTF-8"})


def cp(tree: Path, top: Path) -> tuple[list[str], float, float]:
    """`cp -a` and sync."""
    subprocess.run(["cp", "-a", str(tree), f"{top}/from"], check=True)
    settled(top)
    command = ["sh", "-c", f"cp -a {top}/from {top}/to && sync -f {top}/to"]
    return command, *timed(command)


class Runs:
    """The three, each on a new file system."""

    def __init__(self, folder: Path, files: int, size: int) -> None:
        self.folder, self.tree = folder, folder / "tree"
        self.disk_size = 4 * size + files * 16_384 + (256 << 20)
        note(f"{files} files, {size >> 20} MiB")
        make_tree(self.tree / "all", files, size)
        self.deb = build_deb(self.tree, folder)
        self.region = Region(PrivateKey.generate(), PrivateKey.generate())
        self.commands: dict[str, str] = {}
        self.compared = self.compared_placed = False
        first, second = Definition("big", "1", 1), Definition("big", "2", 1, run_after=FAILING)
        (folder / "state").mkdir()
        placed = parse_definition(PLACED)
        for job, definition in (("one", first), ("two", second), ("placed", placed)):
            root = asyncio.run(fill(self.tree, folder / "state" / "chunks", definition))
            order(folder / "state", job, definition, root, self.region)

    def ours(self) -> dict[str, Any]:
        """Install, then switch to a version that fails and is taken back."""
        with new_disk(self.folder, self.disk_size) as top:
            subprocess.run(["cp", "-a", str(self.folder / "state"), f"{top}/state"], check=True)
            settled(top)
            told = ours(top / "state", "one")
            if told["state"] != "done":
                raise RuntimeError(str(told))
            self.commands["ours"] = "the agent: from the order to the signed receipt"
            if not self.compared:
                subprocess.run(["diff", "-r", str(self.tree), f"{top}/state/root/big"], check=True)
                self.compared = True
            settled(top)
            undone = ours(top / "state", "two")
            if undone["code"] != "program.failed":
                raise RuntimeError(str(undone))
        return {**told, "switch_ms": told["steps"]["switch"], "undo_ms": undone["steps"]["undo"]}

    def halves(self) -> dict[str, Any]:
        """Install by an agent of two processes."""
        with new_disk(self.folder, self.disk_size) as top:
            subprocess.run(["cp", "-a", str(self.folder / "state"), f"{top}/state"], check=True)
            settled(top)
            told = ours(top / "state", "one", "halves")
            if told["state"] != "done":
                raise RuntimeError(str(told))
            subprocess.run(["diff", "-r", str(self.tree), f"{top}/state/root/big"], check=True)
        return told

    def placed(self) -> float:
        """Seconds to have the files at a path of the machine."""
        with new_disk(self.folder, self.disk_size) as top:
            subprocess.run(["cp", "-a", str(self.folder / "state"), f"{top}/state"], check=True)
            settled(top)
            told = ours(top / "state", "placed")
            if told["state"] != "done":
                raise RuntimeError(str(told))
            if not self.compared_placed:
                subprocess.run(["diff", "-r", f"{self.tree}/all", f"{top}/state/prefix/opt/big"], check=True)
                self.compared_placed = True
            note(json.dumps({"placed_steps_ms": {name: round(took) for name, took in told["steps"].items()}}))
        return float(told["seconds"])

    def theirs(self, name: str) -> tuple[float, float]:
        """Seconds and processor seconds of one of the others."""
        with new_disk(self.folder, self.disk_size) as top:
            command, seconds, cpu = dpkg(self.deb, top) if name == "dpkg" else cp(self.tree, top)
        self.commands[name] = " ".join(command).replace(str(self.folder), ".")
        return seconds, cpu


def work(folder: Path) -> tuple[dict[str, Any], dict[str, float]]:
    """Interleaved runs of all three."""
    files, size = asked("files"), asked("mib") << 20
    runs = Runs(folder, files, size)
    rows: list[dict[str, Any]] = []
    for _ in range(pairs()):
        told = runs.ours()
        halves = runs.halves() if asked("halves") else {}
        (dpkg_s, dpkg_cpu), (cp_s, cp_cpu) = runs.theirs("dpkg"), runs.theirs("cp")
        row = {
            "ours_s": round(told["seconds"], 3),
            "dpkg_s": round(dpkg_s, 3),
            "cp_s": round(cp_s, 3),
            "cpu_s": {"ours": round(told["cpu_s"], 3), "dpkg": round(dpkg_cpu, 3), "cp": round(cp_cpu, 3)},
            "halves": {key: round(halves[key], 3) for key in ("seconds", "cpu_s") if halves},
            "placed_s": round(runs.placed(), 3),
            "switch_ms": round(told["switch_ms"], 1),
            "undo_ms": round(told["undo_ms"], 1),
            "steps_ms": {name: round(took) for name, took in told["steps"].items()},
        }
        note(json.dumps(row))
        rows.append(row)
    for name, command in runs.commands.items():
        note(f"{name}: {command}")
    by_rival = {name: spread([row["ours_s"] / row[f"{name}_s"] for row in rows]) for name in ("dpkg", "cp")}
    done = {"files": files, "bytes": size, "pairs": rows, "spread": by_rival, "commands": runs.commands}
    return done, {
        "vs_dpkg": by_rival["dpkg"][1],
        "vs_cp": by_rival["cp"][1],
        "switch_ms": max(row["switch_ms"] for row in rows),
        "undo_ms": max(row["undo_ms"] for row in rows),
        "placed_vs_cp": statistics.median(row["placed_s"] / row["cp_s"] for row in rows),
        "dpkg_vs_cp": statistics.median(row["dpkg_s"] / row["cp_s"] for row in rows),
        "cpu_vs_dpkg": statistics.median(row["cpu_s"]["ours"] / row["cpu_s"]["dpkg"] for row in rows),
        "cpu_vs_cp": statistics.median(row["cpu_s"]["ours"] / row["cpu_s"]["cp"] for row in rows),
        "ours_s": statistics.median(row["ours_s"] for row in rows),
        "cp_s": statistics.median(row["cp_s"] for row in rows),
        **(_halves(rows) if asked("halves") else {}),
    }


def _halves(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Two processes beside one: the clock's seconds, and the processor's."""
    return {
        "halves_vs_one": statistics.median(row["halves"]["seconds"] / row["ours_s"] for row in rows),
        "halves_cpu_vs_one": statistics.median(row["halves"]["cpu_s"] / row["cpu_s"]["ours"] for row in rows),
    }


def options(parser: argparse.ArgumentParser) -> None:
    """How large it is."""
    parser.add_argument("--files", type=int, default=20_000, help="files of the package (20000)")
    parser.add_argument("--mib", type=int, default=1024, help="MiB of the package (1024)")
    parser.add_argument("--halves", type=int, default=0, help="1: an agent of two halves, too (0)")


def main() -> int:
    """Entry point."""
    return run("install", GOALS, work, options)


if __name__ == "__main__":
    sys.exit(main())
