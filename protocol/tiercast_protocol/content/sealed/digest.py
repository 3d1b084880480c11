"""The name of content: BLAKE3-256 of its bytes.

Rules
- 32 bytes, of the raw content, never of what a codec made of it: whoever stores or relays a chunk
  may pack it as it likes without changing what it is.
- SHA-256 stays where TUF wants it; nothing here is compared by anything but all 32 bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import blake3

#: 32 bytes.
Digest = bytes
DIGEST_SIZE = 32


class Hasher(Protocol):
    """A digest in the making, for content that does not fit into memory."""

    def update(self, data: bytes | memoryview, /) -> object:
        """Take the next bytes."""
        ...

    def digest(self) -> bytes:
        """The 32 bytes for all taken so far."""
        ...


def digest_of(data: bytes | bytearray | memoryview) -> Digest:
    """The 32 bytes that name `data`."""
    return blake3.blake3(data).digest()


def hasher() -> Hasher:
    """A new, empty digest in the making."""
    return blake3.blake3()


#: The digest of nothing at all: every empty file has it.
EMPTY = digest_of(b"")


def split_digests(joined: bytes) -> Iterator[Digest]:
    """Each digest of a run of them, as messages carry it.

    Raises:
        ValueError: the length is no multiple of 32.
    """
    if len(joined) % DIGEST_SIZE:
        raise ValueError(f"{len(joined)} bytes are no whole digests")
    for at in range(0, len(joined), DIGEST_SIZE):
        yield joined[at : at + DIGEST_SIZE]
