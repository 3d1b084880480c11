"""Chunks on their way to a daemon: which of them it lacks, and messages that its socket takes.

Rules
- A daemon is asked what it lacks before anything is read, packed or sent.
- A message stays well below the control socket's limit, whatever the chunks weigh.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

#: Bytes of stored chunks in one message of the control socket.
MESSAGE_BYTES = 2 << 20
_DIGEST = 32


class Server(Protocol):
    """What of a control client is needed here."""

    async def call(self, verb: str, **args: Any) -> Any:
        """One call, one answer."""
        ...


async def lacking(server: Server, digests: Sequence[bytes]) -> list[bytes]:
    """Those of `digests` that it does not have, in order."""
    if not digests:
        return []
    return split((await server.call("package.missing", digests=b"".join(digests)))["missing"])


def split(joined: bytes) -> list[bytes]:
    """The digests that were sent as one."""
    return [joined[at : at + _DIGEST] for at in range(0, len(joined), _DIGEST)]


def parcels(chunks: Iterable[tuple[bytes, bytes]]) -> Iterator[list[tuple[bytes, bytes]]]:
    """Chunks (digest and stored form), a message's worth at a time; one that is larger goes alone."""
    parcel: list[tuple[bytes, bytes]] = []
    size = 0
    for digest, stored in chunks:
        if parcel and size + len(stored) > MESSAGE_BYTES:
            yield parcel
            parcel, size = [], 0
        parcel.append((digest, stored))
        size += len(stored)
    if parcel:
        yield parcel
