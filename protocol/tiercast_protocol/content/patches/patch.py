"""A patch: what turns a held base package into the chunks that another package has beyond it.

Rules (docs/protocol.md, section 11)
- Content like any other: the patch is a chunk, its payload is chunks.  It is trusted for nothing: every chunk that it
  makes counts only by its digest, and those stand in the result's own manifest, which an order names.
- It is made of regions.  A region names base chunks (its reference) and result chunks (what it makes) by their number,
  and carries one zstd frame.  Chunks are numbered as the manifests name them, so no digest stands in it twice.
- Memory is that of one region, whoever made it: nothing is unpacked beyond `MAX_RESULT`, out of `MAX_REFERENCE`.
- First come the regions of the index (root and entry lists), then those of the content.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated

import msgspec
import zstandard
from msgspec import Meta

from tiercast_protocol.content.sealed.chunk import MAX_RAW
from tiercast_protocol.content.sealed.digest import DIGEST_SIZE, Digest, digest_of
from tiercast_protocol.content.sealed.manifest import Entry, Root
from tiercast_protocol.errors import MessageInvalid
from tiercast_protocol.wire import codec

#: Format of patches that this code writes and reads.
FORMAT = 1
#: Most raw bytes that one region makes, and that it is made from.
MAX_RESULT, MAX_REFERENCE = 8 << 20, 16 << 20
#: Most bytes of a region's frame that lie in the patch itself; a longer one is cut into chunks of `PIECE` bytes.
INLINE, PIECE = 24 << 10, MAX_RAW - 1
_LEAST_REFERENCE = 8
#: Regions of root and lists, and of data chunks.
INDEX, CONTENT = 0, 1

_Count = Annotated[int, Meta(ge=0, lt=1 << 32)]


class Region(msgspec.Struct, frozen=True, array_like=True):
    """One step of a patch.

    Attributes:
        kind: INDEX or CONTENT; which numbers are meant.
        reference: numbers of base chunks as runs: gap to the run before, count, gap, count, ...
        result: numbers of result chunks, likewise.
        lengths: raw bytes of each result of an INDEX region; those of data chunks follow from the lists.
        frame: the zstd frame, if it is short.
        pieces: else digests of the chunks that it lies in.
    """

    kind: int
    reference: list[_Count]
    result: list[_Count]
    lengths: list[_Count]
    frame: bytes
    pieces: list[Digest]


class Patch(msgspec.Struct, frozen=True, array_like=True):
    """All of it; `base` and `result` are the digests of package roots."""

    format: int
    base: Digest
    result: Digest
    regions: list[Region]

    @property
    def pieces(self) -> list[Digest]:
        """The payload's chunks, in order."""
        return [digest for region in self.regions for digest in region.pieces]


def encode_patch(patch: Patch) -> bytes:
    """The raw bytes of the patch; more than `MAX_RAW` can't be a chunk."""
    return codec.encode(patch)


def decode_patch(raw: bytes | memoryview) -> Patch:
    """The patch in `raw`.

    Raises:
        MessageInvalid: no patch, or of another format (a ProtocolError).
    """
    patch = codec.decode(raw, Patch, max_size=MAX_RAW)
    if patch.format != FORMAT:
        raise _invalid(f"format {patch.format}; this node reads {FORMAT}")
    digests = [patch.base, patch.result, *patch.pieces]
    if any(len(digest) != DIGEST_SIZE for digest in digests):
        raise _invalid("what is no digest")
    kinds = [region.kind for region in patch.regions]
    if kinds != sorted(kinds) or not set(kinds) <= {INDEX, CONTENT}:
        raise _invalid("regions out of order")
    if any(bool(region.frame) == bool(region.pieces) for region in patch.regions):
        raise _invalid("a region without a payload, or with two")
    return patch


# -- numbers ---------------------------------------------------------------------------------------------


def runs_of(numbers: Iterable[int]) -> list[int]:
    """Ascending numbers as gaps and counts."""
    runs: list[int] = []
    after = 0
    for number in numbers:
        if runs and number == after:
            runs[-1] += 1
        else:
            runs += [number - after, 1]
        after = number + 1
    return runs


def numbers_of(runs: Sequence[int], below: int) -> list[int]:
    """The numbers of `runs`, all of them less than `below`.

    Raises:
        MessageInvalid: no runs, or a number that is too large.
    """
    if len(runs) % 2:
        raise _invalid("half a run")
    numbers: list[int] = []
    at = 0
    for n in range(0, len(runs), 2):
        at += runs[n]
        if at + runs[n + 1] > below:
            raise _invalid(f"a chunk of number {at + runs[n + 1]} where there are {below}")
        numbers.extend(range(at, at + runs[n + 1]))
        at += runs[n + 1]
    return numbers


def index_order(digest: Digest, root: Root) -> list[Digest]:
    """A package's index by number: its root, then its entry lists."""
    return list(dict.fromkeys([digest, *root.lists]))


class ContentOrder:
    """A package's data chunks by number: in the order in which its lists first name them, with their raw lengths."""

    def __init__(self) -> None:
        self.lengths: dict[Digest, int] = {}
        self._digests: list[Digest] = []

    def add(self, entries: Iterable[Entry]) -> None:
        """Take the entries of the next list."""
        lengths = self.lengths
        for entry in entries:
            for part in entry.parts:
                end = part.offset + part.length
                # Files are all that chunks are cut from, so the last byte that a file uses is the chunk's last.
                if end > lengths.get(part.digest, 0):
                    lengths[part.digest] = end

    @property
    def digests(self) -> list[Digest]:
        """By number."""
        if len(self._digests) != len(self.lengths):
            self._digests = list(self.lengths)
        return self._digests


# -- frames ----------------------------------------------------------------------------------------------


def check_sizes(reference: int, lengths: Sequence[int]) -> None:
    """Refuse a region that would break the limits, before a byte of it is fetched or read.

    Raises:
        MessageInvalid: too much to read or to make (a ProtocolError).
    """
    if reference > MAX_REFERENCE:
        raise _invalid(f"a region out of {reference} bytes; at most {MAX_REFERENCE}")
    if not lengths or sum(lengths) > MAX_RESULT or not all(0 < length <= MAX_RAW for length in lengths):
        raise _invalid(f"a region that makes {len(lengths)} chunks of {sum(lengths)} bytes; at most {MAX_RESULT}")


def pack_region(
    reference: bytes | bytearray, raw: bytes | bytearray, parameters: zstandard.ZstdCompressionParameters
) -> bytes:
    """The frame that makes `raw` out of `reference`."""
    compressor = zstandard.ZstdCompressor(dict_data=_dictionary(reference), compression_params=parameters)
    return compressor.compress(raw)


def unpack_region(frame: bytes, reference: bytes | bytearray, lengths: Sequence[int]) -> list[memoryview]:
    """The raw chunks of `lengths` that the frame makes out of `reference`; not proved yet.

    A bytearray is emptied as soon as zstd has its own copy, which would else be half of what a region costs.

    Raises:
        MessageInvalid: no such frame, or it makes another number of bytes (a ProtocolError).
    """
    size = sum(lengths)
    try:
        told = zstandard.get_frame_parameters(frame)
        if told.content_size != size or told.dict_id or told.window_size > 2 * (MAX_REFERENCE + MAX_RESULT):
            raise _invalid(f"a frame of {told.content_size} bytes where {size} are to be made")
        dictionary = _dictionary(reference)
        if isinstance(reference, bytearray):
            reference.clear()
        unpacker = zstandard.ZstdDecompressor(dict_data=dictionary, max_window_size=2 * (MAX_REFERENCE + MAX_RESULT))
        raw = unpacker.decompress(frame, max_output_size=size, allow_extra_data=False)
    except (zstandard.ZstdError, MemoryError) as error:
        raise _invalid("its frame does not unpack") from error
    if len(raw) != size:
        raise _invalid(f"its frame unpacks to {len(raw)} bytes and says {size}")
    view, made, at = memoryview(raw), [], 0
    for length in lengths:
        made.append(view[at : at + length])
        at += length
    return made


def prove(digests: Sequence[Digest], made: Sequence[memoryview]) -> None:
    """Refuse what is not what the result's manifest names.

    Raises:
        MessageInvalid: bytes with another digest (a ProtocolError).
    """
    for digest, raw in zip(digests, made, strict=True):
        if digest_of(raw) != digest:
            raise _invalid(f"it makes other bytes than chunk {digest.hex()[:16]}")


def _dictionary(reference: bytes | bytearray) -> zstandard.ZstdCompressionDict | None:
    # zstd takes less than 8 bytes for no dictionary at all, and so do both ends here
    if len(reference) < _LEAST_REFERENCE:
        return None
    return zstandard.ZstdCompressionDict(reference, dict_type=zstandard.DICT_TYPE_RAWCONTENT)


def _invalid(reason: str) -> MessageInvalid:
    return MessageInvalid(reason, "patch")
