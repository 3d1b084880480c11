"""Both halves of an agent in one test: the root half answers at a socket, as a service manager would pass it."""

from __future__ import annotations

import asyncio
import os
import pwd
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.endpoint.lab import Region

from tiercast_endpoint.halves import rootrun
from tiercast_endpoint.halves.line import Line
from tiercast_endpoint.halves.roothalf import RootHalf
from tiercast_endpoint.halves.trusted import RootSettings, Trusted
from tiercast_endpoint.jobs.powering import PowerSettings
from tiercast_protocol.node.config import Duration, Size

USER = pwd.getpwuid(os.geteuid()).pw_name


@dataclass
class Other:
    """The root half, and where it answers."""

    half: RootHalf
    path: Path
    lines: rootrun.Lines


@asynccontextmanager
async def root_half(
    folder: Path,
    region: Region,
    *,
    window: str = "",
    uids: set[int] | None = None,
    shutdown: tuple[str, ...] = ("/bin/false",),
    reboot: tuple[str, ...] = ("/bin/false",),
    boot_id: str = "/proc/sys/kernel/random/boot_id",
    prefix: Path | None = None,
) -> AsyncIterator[Other]:
    """A root half over `folder`; it installs into `agent/root` beside it, where lab's agent looks."""
    place = folder / "rooted"
    place.mkdir(exist_ok=True, mode=0o700)
    (prefix or folder / "prefix").mkdir(exist_ok=True)
    settings = RootSettings(
        install_root=folder / "agent" / "root",
        user=USER,
        prefix=prefix or folder / "prefix",
        reserve=Size(0),
        install_window=window,
        idle=Duration(3600.0),
        power=PowerSettings(shutdown_command=shutdown, reboot_command=reboot, boot_id=boot_id),
    )
    path = folder / "root.sock"
    async with AsyncExitStack() as stack:
        half = await rootrun.opened(Trusted(place, settings, region.identity), stack)
        lines = rootrun.Lines(half, uids if uids is not None else {os.geteuid()}, settings.idle)
        path.unlink(missing_ok=True)
        sock = rootrun.own_socket(path, os.geteuid())
        stack.callback(sock.close)
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        task = tasks.create_task(lines.serve(sock))
        stack.callback(task.cancel)
        yield Other(half, path, lines)


@asynccontextmanager
async def asking(path: Path, chunks: dict[bytes, bytes] | None = None) -> AsyncIterator[Line]:
    """A line of whoever has got hold of the network half: it gives `chunks`, whatever they are."""

    async def answer(verb: str, args: dict[str, object]) -> object:
        if verb == "chunks" and isinstance(digests := args.get("digests"), list):
            return [(chunks or {}).get(digest) for digest in digests]
        if verb == "fetch" and isinstance(digests := args.get("digests"), list):
            return all(one in (chunks or {}) for one in digests)
        digest = args.get("digest")
        return (chunks or {}).get(digest) if verb == "chunk" and isinstance(digest, bytes) else None

    reader, writer = await asyncio.open_unix_connection(str(path), limit=1 << 20)
    line = Line(reader, writer, answer)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(line.run())
        try:
            yield line
        finally:
            line.close()
