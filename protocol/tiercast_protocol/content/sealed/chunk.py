"""A chunk's stored form: what travels over every link and lies on every disk, byte for byte.

Rules
- One codec byte (0 raw, 1 zstd) and the payload.  The digest names the raw bytes, so two packers may
  store a chunk differently and it stays the same chunk.
- zstd is kept only where it saves at least 1/32; else the bytes go raw and cost nobody any time.
- Nothing is unpacked beyond `MAX_RAW`: the frame must tell its size, must need no dictionary and
  must end where the payload ends, and its window is bounded, before a byte is allocated.
- Contexts are kept per thread (zstd's are not shareable and cost 1 MB and more to make).
"""

from __future__ import annotations

import threading

import zstandard

from tiercast_protocol.content.sealed.digest import Digest, digest_of
from tiercast_protocol.errors import ChunkCorrupt

#: Most raw bytes of one chunk (docs/adr/0003): a receiver holds two of them to verify one.
MAX_RAW = 256 * 1024
#: Most bytes of a stored form: a chunk that does not compress, and its codec byte.
MAX_STORED = MAX_RAW + 1
#: zstd level of the packager (docs/adr/0003); never part of an identity.
LEVEL = 9

RAW, ZSTD = 0, 1
_LEAST_SAVING = 32

_contexts = threading.local()


def _compressor(level: int) -> zstandard.ZstdCompressor:
    kept: dict[int, zstandard.ZstdCompressor] | None = getattr(_contexts, "compressors", None)
    if kept is None:
        kept = _contexts.compressors = {}
    if level not in kept:
        kept[level] = zstandard.ZstdCompressor(
            level=level, write_content_size=True, write_checksum=False, write_dict_id=False
        )
    return kept[level]


def _decompressor() -> zstandard.ZstdDecompressor:
    kept: zstandard.ZstdDecompressor | None = getattr(_contexts, "decompressor", None)
    if kept is None:
        kept = _contexts.decompressor = zstandard.ZstdDecompressor(max_window_size=MAX_RAW)
    return kept


def pack(raw: bytes | memoryview, level: int = LEVEL) -> bytes:
    """The stored form of `raw` (1 to `MAX_RAW` bytes); the same bytes for the same level and zstd release."""
    if not 0 < len(raw) <= MAX_RAW:
        raise ValueError(f"a chunk of {len(raw)} bytes")
    packed = _compressor(level).compress(raw)
    if len(packed) <= len(raw) - len(raw) // _LEAST_SAVING - 1:
        return b"\x01" + packed
    return b"\x00" + bytes(raw)


def seal(raw: bytes | memoryview, level: int = LEVEL) -> tuple[Digest, bytes]:
    """Digest and stored form of `raw`, which is 1 to `MAX_RAW` bytes long."""
    return digest_of(raw), pack(raw, level)


def unseal(digest: Digest, stored: bytes | memoryview) -> bytes:
    """The raw bytes of a stored form, proved to be what `digest` names.

    Raises:
        ChunkCorrupt: not a stored form, larger than `MAX_RAW`, or other bytes than `digest` names.
    """
    return bytes(proved(digest, stored))


def verify(digest: Digest, stored: bytes | memoryview) -> None:
    """Prove that a stored form is what `digest` names, without a copy of what is not packed; raises as `unseal`."""
    proved(digest, stored)


def proved(digest: Digest, stored: bytes | memoryview) -> bytes | memoryview:
    """As `unseal`, without a copy of what is not packed: then it is a view of `stored`."""
    raw = unpacked(digest, stored)
    if digest_of(raw) != digest:
        raise ChunkCorrupt(digest, "its bytes have another digest")
    return raw


def unpacked(digest: Digest, stored: bytes | memoryview) -> bytes | memoryview:
    """As `proved`, for who proves the bytes by another digest: nothing says yet that these are what `digest` names."""
    view = memoryview(stored)
    size = raw_size(view, digest)
    raw: bytes | memoryview
    if view[0] == RAW:
        raw = view[1:]
    else:
        try:
            raw = _decompressor().decompress(view[1:], max_output_size=size, allow_extra_data=False)
        except (zstandard.ZstdError, MemoryError) as error:
            raise ChunkCorrupt(digest, "its zstd frame does not unpack") from error
        if len(raw) != size:
            raise ChunkCorrupt(digest, f"unpacks to {len(raw)} bytes and says {size}")
    return raw


def raw_size(stored: bytes | memoryview, digest: Digest = b"") -> int:
    """How many bytes a stored form says that it unpacks to: 1 to `MAX_RAW`.  Nothing is unpacked.

    Raises:
        ChunkCorrupt: not a stored form, or one that would break the limits.
    """
    view = memoryview(stored)
    if not 1 < len(view) <= MAX_STORED:
        raise ChunkCorrupt(digest, f"a stored form of {len(view)} bytes")
    if view[0] == RAW:
        return len(view) - 1
    if view[0] != ZSTD:
        raise ChunkCorrupt(digest, f"unknown codec {view[0]}")
    try:
        frame = zstandard.get_frame_parameters(view[1:])
    except zstandard.ZstdError as error:
        raise ChunkCorrupt(digest, "no zstd frame") from error
    # an unknown content size is the largest number there is, so it falls out here as well
    if not 0 < frame.content_size <= MAX_RAW:
        raise ChunkCorrupt(digest, "its zstd frame tells no size within the limit")
    if frame.dict_id or frame.window_size > MAX_RAW:
        raise ChunkCorrupt(digest, "its zstd frame needs a dictionary or a larger window")
    return int(frame.content_size)
