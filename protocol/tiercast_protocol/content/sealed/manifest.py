"""The manifest: a small root, which an order names, and the entry lists that it names.

Rules
- Root and lists are ordinary chunks: they travel, are cached and are verified as such.
- Canonical: the same tree and definition give the same root, on any machine, in any order of reading.
  So nothing in it depends on the zstd release (`chunk_bytes` counts raw bytes) or on the day.
- The root stays small: 32 bytes per list, which is about 6 KiB for 100,000 files.
"""

from __future__ import annotations

import msgspec

from tiercast_protocol.content.sealed.chunk import MAX_RAW
from tiercast_protocol.content.sealed.digest import DIGEST_SIZE, Digest
from tiercast_protocol.content.sealed.entry import Entry, Kind, Part
from tiercast_protocol.content.sealed.entrycheck import MAX_FILE, check_entries
from tiercast_protocol.content.sealed.entrylist import chunks_of_list, decode_list, encode_list
from tiercast_protocol.content.sealed.listcut import ListCutter, cut_lists
from tiercast_protocol.content.sealed.paths import check_path, check_target, folder_of, order_key
from tiercast_protocol.content.sealed.tree import TreeCheck
from tiercast_protocol.errors import MessageInvalid
from tiercast_protocol.wire import codec
from tiercast_protocol.wire.topics import valid_name

__all__ = [
    "FORMAT",
    "MAX_LISTS",
    "Entry",
    "Kind",
    "ListCutter",
    "Part",
    "Root",
    "TreeCheck",
    "check_entries",
    "check_path",
    "check_target",
    "chunks_of_list",
    "cut_lists",
    "decode_list",
    "decode_root",
    "encode_list",
    "encode_root",
    "folder_of",
    "order_key",
    "valid_version",
]

#: Format of roots that this code writes and reads.
FORMAT = 1
#: Most lists of a root; 4 million files, or 500 GiB in one.
MAX_LISTS = 6_000
#: Most bytes of the definition's canonical text.
MAX_DEFINITION = 32 * 1024
_MAX_VERSION = 64
_VERSION_MARKS = frozenset("._+~-:!")


def valid_version(version: str) -> bool:
    """Whether `version` may be one: 1 to 64 of A-Z a-z 0-9 . _ + ~ - : !, the first a letter or digit."""
    return (
        0 < len(version) <= _MAX_VERSION
        and version.isascii()
        and version[0].isalnum()
        and all(mark.isalnum() or mark in _VERSION_MARKS for mark in version)
    )


class Root(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """What an order names.

    Attributes:
        format: 1.
        chunking: name of the chunking parameters, "tc1".
        name, version, revision: of the package.
        definition: the definition's canonical text (`definition.canonical`).
        lists: digests of the entry lists, in order.
        files: how many files (not folders, not links) the tree has.
        size: bytes of all files.
        chunks: distinct data chunks (not lists, not the root).
        chunk_bytes: raw bytes of those chunks.
    """

    format: int
    chunking: str
    name: str
    version: str
    revision: int
    definition: str
    lists: list[Digest]
    files: int
    size: int
    chunks: int
    chunk_bytes: int

    def __post_init__(self) -> None:
        """Refuse what can't be a root."""
        if not valid_name(self.name) or not valid_version(self.version) or self.revision < 1:
            raise ValueError("name, version or revision out of range")
        if len(self.lists) > MAX_LISTS or any(len(digest) != DIGEST_SIZE for digest in self.lists):
            raise ValueError("too many lists, or what is no digest")
        counts = (self.files, self.size, self.chunks, self.chunk_bytes)
        if any(not 0 <= count <= MAX_FILE * MAX_LISTS for count in counts) or self.chunk_bytes > self.chunks * MAX_RAW:
            raise ValueError("counts out of range")
        if len(self.definition.encode()) > MAX_DEFINITION or not 0 < len(self.chunking) <= _MAX_VERSION:
            raise ValueError("definition or chunking too long")


def encode_root(root: Root) -> bytes:
    """The raw bytes of `root`; their digest is the package's."""
    return codec.encode(root)


def decode_root(raw: bytes | memoryview) -> Root:
    """The root in `raw`.

    Raises:
        MessageInvalid: no root, of another format, or not in its one form (a ProtocolError).
    """
    root = codec.decode(raw, Root, max_size=MAX_RAW)
    if root.format != FORMAT:
        raise MessageInvalid(f"format {root.format}; this node reads {FORMAT}", "manifest")
    if encode_root(root) != raw:
        raise MessageInvalid("not in its one form", "manifest")
    return root
