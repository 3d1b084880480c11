"""How chunks lie on a disk: one file per chunk against section files (docs/adr/0004).

    python benchmarks/store.py [--mib 512] [--folder DIR]

Writes the chunks durably (temporary name, fsync, rename, fsync of the folder per chunk, or per batch with one syncfs;
or our DiskStore), evicts every second one, reads the rest back in random order with a cold cache where that may be had.
Run with PYTHONPATH=protocol where Tiercast is not installed.
"""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import json
import os
import random
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tiercast_protocol.content.sealed.chunk import seal, unseal
from tiercast_protocol.node.chunks.disk import DiskStore

KIB = 1024
BATCH = 128
Chunks = list[bytes]


def chunk(n: int) -> tuple[bytes, bytes]:
    """The n-th chunk: 64 KiB that do not compress, the same at every run."""
    return seal(random.Random(n).randbytes(64 * KIB), 1)


def drop_caches(folder: Path) -> None:
    """Forget what the page cache holds of these files, so that reads come from the disk."""
    os.sync()
    for path in folder.rglob("*"):
        if path.is_file():
            fd = os.open(path, os.O_RDONLY)
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(fd)


def used(folder: Path) -> float:
    """MiB on the disk, names and index included."""
    out = subprocess.run(["du", "-sk", str(folder)], capture_output=True, text=True, check=True).stdout
    return round(int(out.split()[0]) / 1024, 1)


def peak() -> float:
    """Anonymous memory of this process in MiB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return round(int(line.split()[1]) / 1024, 1)
    return 0.0


class FilePerChunk:
    """The usual layout: <2 hex digits>/<digest>, renamed into place."""

    def __init__(self, folder: Path, *, each_synced: bool) -> None:
        self._folder = folder
        self._each = each_synced
        self._libc = ctypes.CDLL(None, use_errno=True)
        for n in range(256):
            (folder / f"{n:02x}").mkdir()

    def path(self, digest: bytes) -> Path:
        """Where the chunk lies."""
        return self._folder / digest[:1].hex() / digest.hex()

    def put(self, digest: bytes, stored: bytes) -> None:
        """Verify, write beside, rename; synced each, or not yet."""
        unseal(digest, stored)
        path = self.path(digest)
        beside = path.with_suffix(".new")
        fd = os.open(beside, os.O_WRONLY | os.O_CREAT, 0o600)
        os.write(fd, stored)
        if self._each:
            os.fsync(fd)
        os.close(fd)
        beside.rename(path)
        if self._each:
            folder = os.open(path.parent, os.O_RDONLY)
            os.fsync(folder)
            os.close(folder)

    def sync(self) -> None:
        """Sync the whole file system."""
        fd = os.open(self._folder, os.O_RDONLY)
        self._libc.syncfs(fd)
        os.close(fd)

    def get(self, digest: bytes) -> None:
        """Read and verify."""
        unseal(digest, self.path(digest).read_bytes())

    def evict(self, digest: bytes) -> None:
        """Remove the file."""
        self.path(digest).unlink()


def rate(mib: float, seconds: float) -> dict[str, float]:
    """Seconds, and MiB in each."""
    return {"seconds": round(seconds, 2), "mib_per_s": round(mib / seconds, 1)}


def measure_files(folder: Path, count: int, *, each_synced: bool) -> dict[str, Any]:
    """One file per chunk."""
    store = FilePerChunk(folder, each_synced=each_synced)
    digests: Chunks = []
    making = 0.0
    start = time.perf_counter()
    for n in range(count):
        before = time.perf_counter()
        digest, stored = chunk(n)
        making += time.perf_counter() - before
        digests.append(digest)
        store.put(digest, stored)
        if not each_synced and n % BATCH == BATCH - 1:
            store.sync()
    store.sync()
    result = {"write": rate(count / 16, time.perf_counter() - start - making), "used": used(folder)}
    start = time.perf_counter()
    for digest in digests[::2]:
        store.evict(digest)
    store.sync()
    result |= {"evict_half": rate(count / 32, time.perf_counter() - start), "used_after": used(folder)}
    rest = digests[1::2]
    random.Random(1).shuffle(rest)
    drop_caches(folder)
    start = time.perf_counter()
    for digest in rest:
        store.get(digest)
    return result | {"read": rate(count / 32, time.perf_counter() - start), "rss_anon": peak()}


async def measure_sections(folder: Path, count: int) -> dict[str, Any]:
    """Our store."""
    digests: Chunks = []
    making = 0.0
    async with DiskStore.open(folder / "store", keep_verified=0) as store:
        start = time.perf_counter()
        for n in range(0, count, 8):
            before = time.perf_counter()
            some = [chunk(m) for m in range(n, min(count, n + 8))]
            making += time.perf_counter() - before
            digests += [digest for digest, _ in some]
            await asyncio.gather(*(store.put(digest, stored) for digest, stored in some))
        last = time.perf_counter()
        await store.sync()
        end = time.perf_counter()
        result: dict[str, Any] = {"write": rate(count / 16, end - start - making), "last_sync": round(end - last, 3)}
        result["used"] = used(folder)
        start = time.perf_counter()
        await store.evict(digests[::2])
        result |= {"evict_half": rate(count / 32, time.perf_counter() - start), "used_after": used(folder)}
        rest = digests[1::2]
        random.Random(1).shuffle(rest)
        drop_caches(folder)
        start = time.perf_counter()
        for digest in rest:
            await store.get(digest)
        result["read"] = rate(count / 32, time.perf_counter() - start)
        start = time.perf_counter()
        for digest in digests:
            store.size(digest)
        result["size_us"] = round((time.perf_counter() - start) / count * 1e6, 1)
    start = time.perf_counter()
    async with DiskStore.open(folder / "store") as store:
        result["reopen_s"] = round(time.perf_counter() - start, 3)
    return result | {"rss_anon": peak()}


def main() -> None:
    """Measure each layout in a folder of its own and print one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mib", type=int, default=512)
    parser.add_argument("--folder", type=Path, default=None)
    arguments = parser.parse_args()
    count = arguments.mib * 16
    layouts: dict[str, Callable[[Path], dict[str, Any]]] = {
        "file_per_chunk_each_synced": lambda folder: measure_files(folder, count, each_synced=True),
        "file_per_chunk_syncfs_per_8_mib": lambda folder: measure_files(folder, count, each_synced=False),
        "sections": lambda folder: asyncio.run(measure_sections(folder, count)),
    }
    figures = {}
    for name, measure in layouts.items():
        folder = Path(tempfile.mkdtemp(prefix="store-", dir=arguments.folder))
        try:
            figures[name] = measure(folder)
        finally:
            shutil.rmtree(folder)
    work = {"mib": arguments.mib, "chunks": count, "chunk_kib": 64}
    print(json.dumps({"bench": "store", "work": work, "figures": figures}))


if __name__ == "__main__":
    main()
