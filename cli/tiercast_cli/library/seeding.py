"""Between a daemon and media: what `depot export` and `depot seed` do.

Rules
- Only what is missing is read, sent or written: both go on where they stopped.
- A chunk is proved before it is sent or written; what is damaged is left out and counted, the rest is used.
- A package is registered once its chunks were sent; what lacks chunks is said, and fetched by whoever needs it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from tiercast_cli.library.media import Contents, OnMedia, Reader, Writer, read_index
from tiercast_cli.talk.parcels import Server, lacking, parcels, split
from tiercast_protocol.content.sealed.chunk import unseal
from tiercast_protocol.errors import ChunkCorrupt, MessageInvalid, UsageError
from tiercast_protocol.node.giving import MOST_DIGESTS, VERB, Taking

#: Digests in one question.
BATCH = 8192
Tell = Callable[[int, int], None]


async def export(server: Server, package: str, folder: Path, *, node: str, tell: Tell) -> dict[str, Any]:
    """Write the package to the media in `folder`; figures.

    Raises:
        UsageError: the package is not whole there, or the media can't be written.
    """
    head = await server.call("depot.members", package=package, at=0, node=node)
    digests = split(head["digests"])
    while len(digests) < head["count"]:
        more = split((await server.call("depot.members", package=package, at=len(digests), node=node))["digests"])
        if not more:
            break
        digests += more
    writer = await asyncio.to_thread(Writer, folder)
    try:
        wanted = [digest for digest in digests if digest not in writer.contents.chunks]
        written = 0
        for at in range(0, len(wanted), MOST_DIGESTS):
            taking = Taking(wanted[at : at + MOST_DIGESTS])
            while (question := taking.question()) is not None:
                for digest, stored in _whole(taking, await server.call(VERB, node=node, **question)):
                    await asyncio.to_thread(_keep, writer, digest, stored)
                    written += len(stored)
                tell(at + taking.place, len(wanted))
        lacking = sum(digest not in writer.contents.chunks for digest in digests)
        if lacking:
            todo = "Run it again; then `tiercast depot audit`."
            raise UsageError("export.incomplete", f"{lacking} chunks could not be read there.", todo=todo)
        shown = OnMedia(head["root"], head["package"], head["version"], head["revision"])
        await asyncio.to_thread(writer.finish, shown)
    finally:
        writer.close()
    return {
        "package": head["package"],
        "version": head["version"],
        "root": head["root"],
        "chunks": len(digests),
        "written": len(wanted),
        "bytes": written,
        "folder": str(folder),
    }


def _whole(taking: Taking, answer: object) -> list[tuple[bytes, bytes]]:
    try:
        return taking.answered(answer)
    except MessageInvalid as error:
        raise UsageError("answer.invalid", f"The daemon's answer makes no sense: {error}.") from error


def _keep(writer: Writer, digest: bytes, stored: bytes) -> None:
    unseal(digest, stored)
    writer.add(digest, stored)


async def seed(server: Server, folder: Path, *, tell: Tell) -> dict[str, Any]:
    """Give the daemon what the media holds and it lacks; figures, and what is damaged on the media."""
    contents = await asyncio.to_thread(read_index, folder)
    reader = Reader(folder, contents)
    damaged: list[str] = []
    done = 0
    try:
        sent, sent_bytes = await _announce(server, reader, contents, damaged)
        for part in _batches(contents):
            missing = await lacking(server, part)
            messages = parcels(_readable(reader, missing, damaged))
            while parcel := await asyncio.to_thread(next, messages, None):
                await server.call("package.store", chunks=parcel)
                sent += len(parcel)
                sent_bytes += sum(len(stored) for _, stored in parcel)
                tell(done + sent, len(contents.chunks))
            done += len(part)
    finally:
        reader.close()
    packages = [await _registered(server, package) for package in contents.packages.values()]
    return {
        "packages": packages,
        "chunks": len(contents.chunks),
        "sent": sent,
        "bytes": sent_bytes,
        "damaged": list(dict.fromkeys(damaged)),
    }


async def _announce(server: Server, reader: Reader, contents: Contents, damaged: list[str]) -> tuple[int, int]:
    """The roots first: a depot knows then what comes, and lets anything else go before it.  Chunks and bytes sent."""
    roots = [root for root in contents.packages if root in contents.chunks]
    missing = await lacking(server, roots)
    sent = size = 0
    for parcel in await asyncio.to_thread(list, parcels(_readable(reader, missing, damaged))):
        await server.call("package.store", chunks=parcel)
        sent += len(parcel)
        size += sum(len(stored) for _, stored in parcel)
    for root in roots:
        with suppress(UsageError):  # a library registers only what is whole
            await server.call("package.register", root=root)
    return sent, size


async def _registered(server: Server, package: OnMedia) -> dict[str, Any]:
    try:
        made: dict[str, Any] = await server.call("package.register", root=package.root)
    except UsageError as error:
        return {"package": package.name, "version": package.version, "error": error.what}
    return {"package": made["package"], "version": made["version"], "lacking": made.get("lacking", 0)}


def _batches(contents: Contents) -> Iterator[list[bytes]]:
    digests = list(contents.chunks)
    for at in range(0, len(digests), BATCH):
        yield digests[at : at + BATCH]


def _readable(reader: Reader, digests: Sequence[bytes], damaged: list[str]) -> Iterator[tuple[bytes, bytes]]:
    for digest in digests:
        try:
            stored = reader.chunk(digest)
        except ChunkCorrupt as error:
            damaged.append(f"{digest.hex()[:16]}: {error.reason}")
            continue
        yield digest, stored
