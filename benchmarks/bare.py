"""Bare MQTT over the same broker and client: what is left when there is no credit, no index, no ledger of ours.

A publisher sends one file in frames, never more than a window ahead of the slowest subscriber; a subscriber compares
the digest of each frame, writes it into its file, asks the disk to begin, and syncs at the end.

Rules
- Subscribers are processes of their own and connect before the clock starts; `python bare.py ROLE ...` is one of them.
- QoS, size of frames, window, event loop and acknowledgement are arguments: the flow matrix runs over them.
"""

from __future__ import annotations

import asyncio
import ctypes
import importlib
import mmap
import os
import struct
import sys
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any

from blake3 import blake3

from tiercast_mqtt.bulk import BulkClient

STEPS = 8
#: Before the bytes of a frame: where they stand, and their digest.
_HEAD = struct.Struct(">Q32s")
_libc = ctypes.CDLL(None)


def lost(error: Exception | None) -> None:
    """The connection ended."""
    if error is not None:
        sys.exit(f"connection lost: {error}")


async def _client(port: int, name: str, on_message: Callable[[str, memoryview], None]) -> BulkClient:
    return await BulkClient.connect(
        host="127.0.0.1", port=port, client_id=name, username=None, password=None, on_message=on_message, on_lost=lost
    )


async def publish(port: int, source: str, frame: int, window: int, count: int, qos: int) -> None:
    """Send `source` to `count` subscribers; prints the seconds from the first frame to the last word of all."""
    received = {str(number): -1 for number in range(count)}
    news = asyncio.Event()

    def heard(topic: str, view: memoryview) -> None:
        received[topic.rpartition("/")[2]] = int(bytes(view))
        news.set()

    client = await _client(port, "bare-publisher", heard)
    await client.subscribe("bare/up/+")
    while min(received.values()) < 0:
        news.clear()
        await news.wait()
    with Path(source).open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped:
        data = memoryview(mapped)
        size = len(data)
        heads = [_HEAD.pack(at, blake3(data[at : at + frame]).digest()) for at in range(0, size, frame)]
        began = time.monotonic()
        used = time.process_time()
        async with asyncio.TaskGroup() as tasks:
            for at in range(0, size, frame):
                while at + frame - min(received.values()) > window and min(received.values()) < size:
                    news.clear()
                    await news.wait()
                parts = heads[at // frame], data[at : at + frame]
                if qos:
                    tasks.create_task(client.publish("bare/down", *parts, qos=1))
                    await asyncio.sleep(0)
                else:
                    await client.publish("bare/down", *parts)
                del parts
            while min(received.values()) <= size:  # one more than the size: synced, and the digest agrees
                news.clear()
                await news.wait()
            print(time.monotonic() - began, time.process_time() - used, flush=True)
        data.release()
    await client.close()


async def subscribe(port: int, number: str, target: str, size: int, window: int, qos: int) -> None:
    """Take the file, and say how far it came."""
    fd = os.open(target, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
    got = told = flushed = 0
    step = window // STEPS
    client: BulkClient
    says = asyncio.Event()

    def arrived(_topic: str, view: memoryview) -> None:
        nonlocal got, told, flushed
        at, digest = _HEAD.unpack_from(view)
        frame = view[_HEAD.size :]
        if blake3(frame).digest() != digest:
            sys.exit("the digest differs")
        os.pwrite(fd, frame, at)
        got += len(frame)
        if got - flushed >= 1 << 20 or got >= size:
            _libc.sync_file_range(fd, ctypes.c_int64(flushed), ctypes.c_int64(got - flushed), 2)
            flushed = got
        if got - told >= step or got >= size:
            told = got
            says.set()

    client = await _client(port, f"bare-{number}", arrived)
    await client.subscribe("bare/down", qos)

    while got < size:
        await client.publish(f"bare/up/{number}", str(told).encode())
        says.clear()
        with suppress(TimeoutError):  # the publisher may have come after the first word
            async with asyncio.timeout(0.3):
                await says.wait()
    await asyncio.to_thread(os.fdatasync, fd)
    await client.publish(f"bare/up/{number}", str(size + 1).encode())
    await client.close()


def run(loop: str, work: Coroutine[Any, Any, None]) -> None:
    """On asyncio's or uvloop's loop."""
    if loop == "uvloop":
        importlib.import_module("uvloop").run(work)
    else:
        asyncio.run(work)


def main() -> int:
    """Arguments: publish PORT LOOP SOURCE FRAME WINDOW COUNT QOS, or subscribe PORT LOOP NUMBER TARGET ...."""
    role, port, loop, *rest = sys.argv[1:]
    if role == "publish":
        source, frame, window, count, qos = rest
        run(loop, publish(int(port), source, int(frame), int(window), int(count), int(qos)))
    else:
        number, target, size, window, qos = rest
        run(loop, subscribe(int(port), number, target, int(size), int(window), int(qos)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
