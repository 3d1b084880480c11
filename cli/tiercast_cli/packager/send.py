"""Sends what the server lacks of a sealed folder, and registers the package.

Rules
- The server is asked for every batch of digests before anything is compressed: what it holds costs 32 bytes a chunk.
- Nothing is remembered here between runs: a build that was cut off asks again, and finds the server holding
  what came through.
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from tiercast_cli.packager.seal import TreeSealer
from tiercast_cli.packager.template import SCHEMA_FILE
from tiercast_cli.shown import words
from tiercast_cli.talk.parcels import Server, lacking, parcels
from tiercast_protocol.content.package.definition import Definition, canonical, parse_definition
from tiercast_protocol.errors import UsageError

#: The definition's name when it lies in the folder itself; it is not part of the tree then.
IN_FOLDER = "package.toml"
#: What lies at the top of the folder and is no part of the tree.
OUTSIDE = (IN_FOLDER, SCHEMA_FILE)


def load_definition(path: Path | None, folder: Path, *, name: str, version: str, revision: int) -> Definition:
    """The definition in `path`, or the folder's own, or just name and version; options override.

    Raises:
        UsageError: neither a definition nor name and version, or a file that can't be read.
        ConfigError: all mistakes of the definition.
    """
    _check_folder(folder)
    chosen = path or (folder / IN_FOLDER if (folder / IN_FOLDER).is_file() else None)
    if chosen is not None:
        try:
            found = parse_definition(chosen.read_text(encoding="utf-8"), str(chosen))
        except (OSError, UnicodeDecodeError) as error:
            todo = "Name a readable package.toml after --definition."
            raise UsageError(
                "definition.invalid", f"the definition can't be read: {error}", str(chosen), todo
            ) from error
    elif name and version:
        found = Definition(name=name, version=version)
    else:
        absent = [option for option, value in (("--name", name), ("--version", version)) if not value]
        raise UsageError(
            "definition.invalid",
            f"there is no {IN_FOLDER} in the folder, and no {' and no '.join(absent)}",
            str(folder),
            "Give --name and --version, or write a package.toml (name and version are enough).",
        )
    wanted = replace(
        found, name=name or found.name, version=version or found.version, revision=revision or found.revision
    )
    return parse_definition(canonical(wanted), "the command line")


async def build_package(
    server: Server, folder: Path, definition: Definition, *, cabinet: str, show: bool
) -> dict[str, Any]:
    """Seal `folder`, send what the server lacks, register; what `package.register` answers, and what was sent.

    Raises:
        UsageError: the folder can't be packaged, or the server refuses.
    """
    sealer = _sealer(folder, definition)
    batches = sealer.batches()
    seen = sent = sent_bytes = 0
    while (batch := await asyncio.to_thread(next, batches, None)) is not None:
        missing = set(await lacking(server, batch.digests))
        messages = parcels(batch.stored(missing))
        while parcel := await asyncio.to_thread(next, messages, None):
            await server.call("package.store", chunks=parcel)
            sent += len(parcel)
            sent_bytes += sum(len(stored) for _, stored in parcel)
        seen += len(batch.chunks)
        _report(f"{words.count(seen, 'chunk')} looked at, {sent} sent ({words.size(sent_bytes)})", show=show)
    _report("", show=show)
    made: dict[str, Any] = await server.call("package.register", root=sealer.sealed.digest, cabinet=cabinet)
    return {**made, "sent_chunks": sent, "sent_bytes": sent_bytes}


def _check_folder(folder: Path) -> None:
    if not folder.is_dir():
        todo = "Name the folder that holds the tree."
        raise UsageError("folder.unknown", "there is no such folder", str(folder), todo)


def _sealer(folder: Path, definition: Definition) -> TreeSealer:
    _check_folder(folder)
    outside = [name for name in OUTSIDE if (folder / name).is_file()]
    # a schema without its definition is a file like any other
    return TreeSealer(folder, definition, exclude=outside if IN_FOLDER in outside else ())


def _report(text: str, *, show: bool) -> None:
    if show and sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
