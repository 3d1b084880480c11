"""What an upgrade costs by other means: casync, rsync -z, and zstd --patch-from per file.

Rules
- Bytes are what would cross the link at the least: casync's index and the chunks that its old store lacks, rsync's own
  count of both directions, the sizes of the patch files.  None is charged for orders and receipts, as we are.
- rsync compares by checksum, since a registry's archives keep no times of files.
- For zstd a file is paired with its namesake of the same path, else of the same path but for numbers in it.
"""

from __future__ import annotations

import filecmp
import os
import re
import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from harness import note
from region import RegionError

#: casync's default, and the same four times as large.
CHUNKS = ("16384:65536:262144", "65536:262144:1048576")
#: What is run, as people are told; FILE stands for each file.
COMMANDS = {
    "casync": "casync make --store=STORE --chunk-size=SIZE --without=all INDEX TREE (SIZE: {} or {})".format(*CHUNKS),
    "rsync": "rsync -rlpcz --delete --no-whole-file --stats NEW/ OLD/",
    "zstd": "zstd -19 --long=27 --patch-from=OLD/FILE NEW/FILE",
}
_NUMBERS = re.compile(r"\d+(?:[._-]\d+)*")


def install() -> None:
    """Have all three here, out of the system's packages if this is root.  Raises RegionError."""
    missing = [program for program in ("casync", "rsync", "zstd") if shutil.which(program) is None]
    if missing and os.geteuid() == 0 and shutil.which("apt-get"):
        note(f"installing {', '.join(missing)}")
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for words in (["update", "-qq"], ["install", "-y", "-qq", *missing]):
            subprocess.run(["apt-get", *words], check=False, stdout=subprocess.DEVNULL, env=environment)
    if still := [program for program in missing if shutil.which(program) is None]:
        raise RegionError(f"missing: {', '.join(still)}; install these packages")


def casync(old: Path, new: Path, folder: Path) -> int:
    """Bytes of the index and of the chunks that who has `old` lacks of `new`; the better of both sizes."""
    return min(_casync(old, new, folder, size) for size in CHUNKS)


def _casync(old: Path, new: Path, folder: Path, size: str) -> int:
    stores = {}
    for name, tree in (("old", old), ("new", new)):
        store, index = folder / f"{name}.castr", folder / f"{name}.caidx"
        shutil.rmtree(store, ignore_errors=True)
        command = ["casync", "make", f"--store={store}", f"--chunk-size={size}", "--without=all", str(index), str(tree)]
        subprocess.run(command, check=True, capture_output=True)
        stores[name] = {path.name: path.stat().st_size for path in store.rglob("*.cacnk")}
    lacking = sum(count for chunk, count in stores["new"].items() if chunk not in stores["old"])
    for name in stores:
        shutil.rmtree(folder / f"{name}.castr")
    return lacking + (folder / "new.caidx").stat().st_size


def rsync(old: Path, new: Path, folder: Path) -> int:
    """Bytes that `rsync -z` sends and receives to turn a copy of `old` into `new`."""
    copy = folder / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(old, copy, symlinks=True)
    command = ["rsync", "-rlpcz", "--delete", "--no-whole-file", "--stats", f"{new}/", f"{copy}/"]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    shutil.rmtree(copy)
    return sum(int(number.replace(",", "")) for number in re.findall(r"Total bytes (?:sent|received): ([\d,]+)", said))


def patches(old: Path, new: Path, folder: Path) -> int:
    """Bytes of `zstd -19 --patch-from` for every file that is not the same; two files at a time."""
    by_plain = {_plain(path, old): path for path in sorted(old.rglob("*")) if path.is_file()}

    def patch(path: Path) -> int:
        pair = old / path.relative_to(new)
        base = pair if pair.is_file() else by_plain.get(_plain(path, new))
        if not path.stat().st_size or (base is not None and filecmp.cmp(base, path, shallow=False)):
            return 0
        reference = [f"--patch-from={base}"] if base is not None and base.stat().st_size else []
        with tempfile.NamedTemporaryFile(dir=folder) as out:
            command = ["zstd", "-q", "-f", "-19", "--long=27", *reference, str(path), "-o", out.name]
            subprocess.run(command, check=True, capture_output=True)
            return Path(out.name).stat().st_size

    with ThreadPoolExecutor(max_workers=2) as some:
        return sum(some.map(patch, [path for path in new.rglob("*") if path.is_file() and not path.is_symlink()]))


def _plain(path: Path, top: Path) -> str:
    return _NUMBERS.sub("#", str(path.relative_to(top)))
