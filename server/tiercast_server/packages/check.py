"""Whether an uploaded package is whole and in order, read from the store alone.

Rules
- Root and lists are read and checked as every receiver will; of data chunks only that they are held, for each
  was verified when it was put.
- What is wrong is said as a human's mistake: the packager is run again, and sends only what is missing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Protocol

from tiercast_protocol.content.package.definition import canonical, parse_definition
from tiercast_protocol.content.sealed.chunk import unseal
from tiercast_protocol.content.sealed.manifest import Root, TreeCheck, decode_list, decode_root
from tiercast_protocol.errors import (
    ChunkCorrupt,
    ChunkMissing,
    ConfigError,
    MessageInvalid,
    ProtocolError,
    UsageError,
)


class LibraryStore(Protocol):
    """What the library asks of the depot's chunk store."""

    async def get(self, digest: bytes) -> bytes:
        """The stored form, verified."""
        ...

    async def has(self, digest: bytes) -> bool:
        """Whether it is held."""
        ...

    async def put(self, digest: bytes, stored: bytes) -> bool:
        """Keep it; True if it was new."""
        ...

    async def sync(self) -> None:
        """Everything put so far is durable."""
        ...

    async def evict(self, digests: Iterable[bytes]) -> int:
        """Forget these; how many were held."""
        ...

    async def digests(self) -> list[bytes]:
        """Every chunk that is held."""
        ...

    def size(self, digest: bytes) -> int | None:
        """Stored bytes, None where it is not held."""
        ...


async def read_package(store: LibraryStore, digest: bytes) -> tuple[Root, set[bytes], int]:
    """The root `digest`, every chunk of its package (root and lists included) and their stored bytes in all.

    Raises:
        UsageError: package.incomplete or package.invalid.
    """
    try:
        root = decode_root(unseal(digest, await store.get(digest)))
        check = TreeCheck()
        data: set[bytes] = set()
        for list_digest in root.lists:
            stored = await store.get(list_digest)
            # in a thread: a list is some 20 ms of checks, and a package may have thousands
            data |= await asyncio.to_thread(_read_list, list_digest, stored, check)
        check.finish(files=root.files, size=root.size)
        _check_definition(root)
    except ChunkMissing as error:
        raise _incomplete(1, "its root or an entry list") from error
    except (ProtocolError, ChunkCorrupt, ConfigError) as error:
        raise UsageError(
            code="package.invalid", what=f"The package can't be registered: {error}.", todo="Build it again."
        ) from error
    if len(data) != root.chunks:
        raise UsageError(
            code="package.invalid",
            what=f"The package says it has {root.chunks} chunks and names {len(data)}.",
            todo="Build it again.",
        )
    chunks = data | {digest, *root.lists}
    sizes = [store.size(chunk) for chunk in chunks]
    lacking = sizes.count(None)
    if lacking:
        raise _incomplete(lacking, f"{len(chunks)} in all")
    return root, chunks, sum(size for size in sizes if size is not None)


def _read_list(digest: bytes, stored: bytes, check: TreeCheck) -> set[bytes]:
    """The data chunks that one list names, once it passed `check`."""
    entries = decode_list(unseal(digest, stored))
    check.add(entries)
    return {part.digest for entry in entries for part in entry.parts}


def _check_definition(root: Root) -> None:
    """Refuse a root whose definition is not the one text of what its own fields say.

    Raises:
        ConfigError: no definition.
        MessageInvalid: another package's, or not in its one form.
    """
    found = parse_definition(root.definition, "definition")
    if (found.name, found.version, found.revision) != (root.name, root.version, root.revision):
        raise MessageInvalid("the definition is of another package", "manifest")
    if canonical(found) != root.definition:
        raise MessageInvalid("the definition is not in its one form", "manifest")


def _incomplete(lacking: int, of: str) -> UsageError:
    return UsageError(
        code="package.incomplete",
        what=f"{lacking} chunks of the package are not here ({of}).",
        todo="Run the packager again; it sends only what is missing.",
    )
