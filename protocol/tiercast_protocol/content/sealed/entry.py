"""What a package's tree is made of: files, folders and links.

Rules
- No times and no owners: they would make two packages of the same content.
- A file is its parts, in order; a part is a range of a chunk.  Most files are one part of a pack or a
  few whole chunks.
- A file of very many parts goes on in the next entry list.  An entry then stands for the bytes from `start` for as
  long as its parts last.  Size and digest of the file stand in its last piece alone, so an edit in
  one place of a large file costs two lists, not all of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from tiercast_protocol.content.sealed.digest import Digest


class Kind(IntEnum):
    """What an entry is."""

    FILE = 0
    FOLDER = 1
    LINK = 2


class Part(NamedTuple):
    """`length` bytes at `offset` of the raw bytes of the chunk `digest`."""

    digest: Digest
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class Entry:
    """One file, folder or link.

    Attributes:
        path: relative to the top of the tree, "/" between parts.
        kind: of the entry.
        mode: permission bits, at most 0o7777; 0 of a link.
        size: bytes of the whole file; 0 of what is no file, or where the file goes on.
        target: of a link; else "".
        digest: of the whole file's content; b"" of what is no file, or where the file goes on.
        parts: of a file, in order.
        start: where in the file the first part goes; more than 0 only where a file goes on from the list before.
        more: whether the file goes on in the next list.
    """

    path: str
    kind: Kind
    mode: int = 0
    size: int = 0
    target: str = ""
    digest: Digest = b""
    parts: tuple[Part, ...] = ()
    start: int = 0
    more: bool = False

    @property
    def end(self) -> int:
        """Where in the file the last part ends; equal to `size` when nothing of it follows."""
        return self.start + sum(part.length for part in self.parts)
