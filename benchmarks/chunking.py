"""What chunking costs and saves on real upgrades, beside casync: the figures of docs/adr/0003.

    python benchmarks/chunking.py --folder /tmp/chunking        # fetches about 140 MB, takes some minutes
    python benchmarks/chunking.py --tree DIR ...                # first install of trees of your own

Rules
- Trees are unpacked packages of pip, npm and apt; what can't be fetched is said and left out.
- "first" is every byte of the package (chunks, lists and root in stored form) over `tar | zstd -3` of the tree;
  "upgrade" is the bytes of what the old version lacks; "edit" is mean and most over edits of 4 KiB in one file.
- Speed is raw bytes per second of processor time (the machine is shared), sealing all.
- casync runs with its defaults (16/64/256 KiB, zstd) and stores permissions and links only, as we do.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from tiercast_cli.packager.seal import TreeSealer
from tiercast_protocol.content.package.definition import Definition
from tiercast_protocol.content.sealed import chunk, chunking, manifest
from tiercast_protocol.content.sealed.chunking import KIB, TC1, Parameters

DEFINITION = Definition(name="measured", version="1", allow_setuid=True, allow_case_collisions=True)


@dataclass(frozen=True, slots=True)
class Pair:
    """Two versions of a package of one of the package managers."""

    name: str
    manager: str
    old: str
    new: str


PAIRS = (
    Pair("numpy 2.2.0 to 2.2.1", "pip", "numpy==2.2.0", "numpy==2.2.1"),
    Pair("Django 5.1.3 to 5.1.4", "pip", "django==5.1.3", "django==5.1.4"),
    Pair("TypeScript 5.6.3 to 5.7.2", "npm", "typescript@5.6.3", "typescript@5.7.2"),
    Pair("TypeScript 5.7.2 to 5.7.3", "npm", "typescript@5.7.2", "typescript@5.7.3"),
    Pair("kernel headers 6.1.0-55 to 56", "apt", "linux-headers-6.1.0-55-common", "linux-headers-6.1.0-56-common"),
    Pair("kernel 6.1.0-55 to 56", "apt", "linux-image-6.1.0-55-cloud-amd64", "linux-image-6.1.0-56-cloud-amd64"),
)


def sizes(*numbers: int) -> Parameters:
    """Parameters of minimum, average, maximum, pack_below, pack minimum, average and maximum in KiB."""
    a, b, c, below, d, e, f = (number * KIB for number in numbers)
    return Parameters("/".join(map(str, numbers)), a, b, c, below, d, e, f)


#: What was compared: parameters and zstd level.
CANDIDATES = (
    (TC1, 9),
    (TC1, 3),
    (TC1, 6),
    (TC1, 12),
    (sizes(16, 64, 256, 16, 32, 64, 256), 9),
    (sizes(8, 32, 128, 8, 16, 32, 128), 9),
    (sizes(8, 32, 128, 64, 64, 128, 256), 9),
    (sizes(32, 64, 256, 64, 64, 128, 256), 9),
    (sizes(64, 256, 1024, 64, 64, 128, 256), 9),
    (sizes(32, 128, 256, 64, 64, 128, 256), 9),
    (sizes(16, 64, 256, 64, 64, 192, 256), 9),
)


def run(*command: str, cwd: Path | None = None) -> str:
    """Output of a command; CalledProcessError when it fails."""
    return subprocess.run(command, cwd=cwd, check=True, capture_output=True, text=True).stdout


def fetch(manager: str, what: str, folder: Path) -> Path:
    """The unpacked tree of a package, fetched once."""
    tree = folder / what.replace("=", "-").replace("@", "-")
    if tree.exists():
        return tree
    fetched = folder / "fetched" / what
    fetched.mkdir(parents=True, exist_ok=True)
    half = tree.with_suffix(tree.suffix + ".half")
    shutil.rmtree(half, ignore_errors=True)
    half.mkdir()
    if manager == "pip":
        run(sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:", "-d", str(fetched), what)
        with zipfile.ZipFile(next(fetched.glob("*.whl"))) as wheel:
            wheel.extractall(half)
    elif manager == "npm":
        run("npm", "pack", "--silent", what, cwd=fetched)
        run("tar", "-C", str(half), "-xf", str(next(fetched.glob("*.tgz"))))
    else:
        run("apt-get", "download", "-q", what, cwd=fetched)
        run("dpkg-deb", "-x", str(next(fetched.glob("*.deb"))), str(half))
    half.rename(tree)
    return tree


def stored_sizes(tree: Path, parameters: Parameters = TC1, level: int = 9) -> tuple[dict[bytes, int], TreeSealer]:
    """Stored bytes of every chunk of the tree's package."""
    sealer = TreeSealer(tree, DEFINITION, parameters=parameters, level=level)
    return {digest: len(stored) for batch in sealer.batches() for digest, stored in batch.stored()}, sealer


def digests(tree: Path, parameters: Parameters) -> set[bytes]:
    """The digests alone, compressing nothing."""
    return {d for batch in TreeSealer(tree, DEFINITION, parameters=parameters).batches() for d in batch.digests}


def tar_zstd(tree: Path) -> int:
    """Bytes of `tar | zstd -3` of the tree."""
    shell = 'tar -C "$1" -c . | zstd -3 -c | wc -c'
    return int(run("sh", "-c", shell, "sh", str(tree)))


def casync(old: Path | None, new: Path, scratch: Path) -> tuple[int, int]:
    """Bytes of a first install and of the upgrade by casync, index included; zeros where it is not installed."""
    if shutil.which("casync") is None:
        return 0, 0

    def made(tree: Path, store: str) -> int:
        index = scratch / f"{store}.{tree.name}.caidx"
        flags = ("--without=all", "--with=permissions", "--with=symlinks")
        run("casync", "make", f"--store={scratch / store}", *flags, str(index), str(tree))
        return sum(f.stat().st_size for f in (scratch / store).rglob("*.cacnk")) + index.stat().st_size

    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    first = made(new, "first.castr")
    if old is None:
        return first, 0
    made(old, "both.castr")
    before = sum(f.stat().st_size for f in (scratch / "both.castr").rglob("*.cacnk"))
    return first, made(new, "both.castr") - before


def edits(tree: Path, scratch: Path, count: int = 20) -> tuple[int, int]:
    """Mean and most bytes in all after one edit of 4 KiB in one file, chosen by a fixed seed."""
    shutil.rmtree(scratch, ignore_errors=True)
    shutil.copytree(tree, scratch, symlinks=True)
    held = digests(scratch, TC1)
    chance = random.Random(3)
    files = sorted(f for f in scratch.rglob("*") if f.is_file() and not f.is_symlink() and f.stat().st_size)
    costs = []
    for file in (chance.choice(files) for _ in range(count)):
        kept = file.read_bytes()
        at = chance.randrange(max(1, len(kept) - 4096))
        file.write_bytes(kept[:at] + chance.randbytes(min(4096, len(kept) - at)) + kept[at + 4096 :])
        sealer = TreeSealer(scratch, DEFINITION)
        costs.append(sum(len(s) for b in sealer.batches() for _, s in b.stored(set(b.digests) - held)))
        file.write_bytes(kept)
    return sum(costs) // count, max(costs)


@contextlib.contextmanager
def any_size() -> Iterator[None]:
    """Lets chunks be larger than tc1 allows, for the candidates that are."""
    with contextlib.ExitStack() as stack:
        for module in (chunk, chunking, manifest):
            stack.enter_context(mock.patch.object(module, "MAX_RAW", 1024 * KIB))
        yield


def measure(old: Path | None, new: Path, tar: int) -> Iterator[dict[str, object]]:
    """One row per candidate."""
    for parameters, level in CANDIDATES:
        held = digests(old, parameters) if old else set()
        began = time.process_time()
        stored, sealer = stored_sizes(new, parameters, level)
        spent = time.process_time() - began
        yield {
            "parameters": parameters.name,
            "level": level,
            "first": round(sum(stored.values()) / tar, 3),
            "upgrade_kB": round(sum(size for d, size in stored.items() if d not in held) / 1000) if old else None,
            "chunks": sealer.sealed.root.chunks,
            "list_kB": round(sealer.sealed.list_bytes / 1000),
            "MB_per_cpu_second": round(sealer.sealed.root.size / spent / 1e6),
        }


def main() -> None:
    """Measure, print tables, end with one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("/tmp/tiercast-chunking"), help="where trees are kept")  # noqa: S108 - a default to see
    parser.add_argument("--tree", type=Path, action="append", default=[], help="measure the first install of this tree")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    work: list[tuple[str, Path | None, Path]] = [(tree.name, None, tree) for tree in options.tree]
    for pair in () if options.tree else PAIRS:
        try:
            work.append(
                (
                    pair.name,
                    fetch(pair.manager, pair.old, options.folder),
                    fetch(pair.manager, pair.new, options.folder),
                )
            )
        except (subprocess.CalledProcessError, OSError, StopIteration) as error:
            print(f"left out: {pair.name}: {error}", file=sys.stderr)
    report = {}
    for name, old, new in work:
        tar = tar_zstd(new)
        first, upgrade = casync(old, new, options.folder / "casync")
        mean, most = edits(new, options.folder / "edited")
        with any_size():
            rows = list(measure(old, new, tar))
        report[name] = {"tar_zstd_3": tar, "casync": [first, upgrade], "edit": [mean, most], "candidates": rows}
        print(f"\n{name}: tar | zstd -3 {tar / 1e6:.2f} MB; edit of 4 KiB {mean // 1000} kB, at most {most // 1000} kB")
        print("| parameters | zstd | first | upgrade kB | chunks | lists kB | MB per cpu second |")
        print("|---|---|---|---|---|---|---|")
        for row in rows:
            print("| " + " | ".join(str(value) for value in row.values()) + " |")
        print(f"| casync 16/64/256 | 3 | {first / tar:.3f} | {upgrade / 1000:.0f} | | | |", flush=True)
    print(json.dumps({"bench": "chunking", "report": report}))


if __name__ == "__main__":
    main()
