"""The process that makes one patch: the server's hand for work that takes minutes of a processor and much memory.

Rules
- It reads and writes nothing but its two pipes: it asks the server for chunks, and hands it those that it made.
- Lowest priority, so that no job is held up; a limit of memory, so that no machine is; and it ends with its server.
- A frame is four bytes of length (big-endian) and msgpack.  The server says `[base, result]`; the worker says
  `["want", digest]` (the answer is the stored form, or nil), `["chunk", digest, stored]`, and at the end
  `["done", patch, plain]` or `["failed", reason]`.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import struct
import sys
from contextlib import suppress
from typing import Any, BinaryIO

from tiercast_protocol.content.patches.patchmake import make_patch
from tiercast_protocol.content.patches.patchplan import Side
from tiercast_protocol.content.sealed.chunk import unseal
from tiercast_protocol.content.sealed.digest import Digest
from tiercast_protocol.content.sealed.manifest import decode_list, decode_root
from tiercast_protocol.errors import ChunkMissing, TiercastError
from tiercast_protocol.wire import codec

#: Most bytes of address space: a region's tables, and the lists of two packages of a million files.
MEMORY = 4 << 30
_SET_PDEATHSIG = 1
LENGTH = struct.Struct(">I")


class Pipes:
    """Frames over two pipes, and chunks asked for over them."""

    def __init__(self, reading: BinaryIO, writing: BinaryIO) -> None:
        self._reading, self._writing = reading, writing
        #: Stored bytes of every chunk that was read.
        self.sizes: dict[Digest, int] = {}

    def say(self, value: object) -> None:
        """One frame out."""
        data = codec.encode(value)
        self._writing.write(LENGTH.pack(len(data)) + data)
        self._writing.flush()

    def hear(self) -> Any:
        """One frame in.

        Raises:
            EOFError: the server is gone.
        """
        head = self._reading.read(LENGTH.size)
        if len(head) < LENGTH.size:
            raise EOFError
        (length,) = LENGTH.unpack(head)
        data = self._reading.read(length)
        if len(data) < length:
            raise EOFError
        return codec.decode_plain(data)

    def read(self, digest: Digest) -> bytes:
        """The raw bytes of a chunk.

        Raises:
            ChunkMissing: the library does not hold it.
        """
        self.say(["want", digest])
        stored = self.hear()
        if stored is None:
            raise ChunkMissing(digest)
        self.sizes[digest] = len(stored)
        return unseal(digest, stored)


def work(pipes: Pipes) -> None:
    """Make the patch that the server names."""
    base_root, result_root = pipes.hear()
    try:
        base, result = _side(pipes, base_root), _side(pipes, result_root)
        patch = b""
        for digest, stored in make_patch(base, result, pipes.read):
            pipes.say(["chunk", digest, stored])
            patch = digest
        held = {*base.index, *base.order.lengths}
        lacking = {*result.index, *result.order.lengths} - held
        pipes.say(["done", patch, sum(pipes.sizes[digest] for digest in lacking)])
    except (TiercastError, MemoryError) as error:
        pipes.say(["failed", str(error) or f"it needed more than {MEMORY >> 20} MiB of memory"])


def _side(pipes: Pipes, digest: Digest) -> Side:
    root = decode_root(pipes.read(digest))
    side = Side(digest, root)
    for listed in root.lists:
        side.add(decode_list(pipes.read(listed)))
    return side


def stand_back() -> None:
    """Let everybody else go first, keep to the limit of memory, and end when the server ends, however that is."""
    ctypes.CDLL(None).prctl(_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    os.nice(19)
    with suppress(ValueError, OSError):  # a lower limit stands already
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


def main() -> None:
    """Entry point of the process."""
    stand_back()
    with suppress(EOFError, BrokenPipeError):
        work(Pipes(sys.stdin.buffer, sys.stdout.buffer))


if __name__ == "__main__":
    main()
