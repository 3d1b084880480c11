"""The list of what is installed on a machine, named by its digest, and the difference between two.  Pure.

Rules (docs/protocol.md, section 13)
- A list is names and versions, sorted, encoded in one way: the same software is the same digest on every machine, so
  that a tier keeps one list for the thousand machines that have it, and a list travels once over a link.
- Whoever holds the base of a difference makes the result, and believes it by its digest alone: a machine signs which
  digest is its own, and no relay can change what that names.
- What a peer sends may be anything: sizes are bounded before and after unpacking.
- Names: a package of the system as the system calls it, one of Python as `pip:NAME`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import msgspec
import zstandard

from tiercast_protocol.content.sealed.digest import Digest, digest_of
from tiercast_protocol.errors import MessageInvalid
from tiercast_protocol.wire import codec

#: Most entries of a list, longest name or version, most bytes of it raw and packed.
MOST, LONGEST, LARGEST, LARGEST_PACKED = 20_000, 255, 1 << 20, 400 << 10
#: Strong, for it is packed once and kept at every tier.
_LEVEL = 12
#: The digest that stands for no list at all.
NONE = b""


class _List(msgspec.Struct, frozen=True, array_like=True):
    names: list[str]
    versions: list[str]


class _Change(msgspec.Struct, frozen=True, array_like=True):
    names: list[str]
    versions: list[str]
    gone: list[str]


def bounded(software: Mapping[str, str]) -> dict[str, str]:
    """As much of it as a list can say: the first entries by name."""
    fitting = sorted((name, said) for name, said in software.items() if name and max(len(name), len(said)) <= LONGEST)
    return dict(fitting[:MOST])


def encoded(software: Mapping[str, str]) -> bytes:
    """The bytes that name it."""
    names = sorted(software)
    return codec.encode(_List(names, [software[name] for name in names]))


def packed(software: Mapping[str, str]) -> tuple[Digest, bytes]:
    """Its digest, and how it travels and lies on disks.  Blocking (CPU)."""
    raw = encoded(software)
    return digest_of(raw), _pack(raw)


def unpacked(digest: Digest, data: bytes) -> dict[str, str]:
    """The list that `data` carries.  Blocking (CPU).

    Raises:
        MessageInvalid: it is another's, or none.
    """
    raw = _unpack(data)
    if digest_of(raw) != digest:
        raise MessageInvalid("the list has another digest", "software")
    found = codec.decode(raw, _List)
    if len(found.names) != len(found.versions):
        raise MessageInvalid("names and versions differ in number", "software")
    return dict(zip(found.names, found.versions, strict=True))


@lru_cache(maxsize=16)
def _held(digest: Digest, data: bytes) -> dict[str, str]:
    return unpacked(digest, data)


def as_json(digest: Digest, data: bytes, entries: frozenset[str] | None = None) -> str:
    """The list (of it only `entries`) as JSON, for conditions.  Blocking (CPU); raises as `unpacked`."""
    found = _held(digest, data)
    some = found if entries is None else {name: found[name] for name in entries if name in found}
    return msgspec.json.encode(some).decode()


def difference(base: Mapping[str, str], result: Mapping[str, str]) -> bytes:
    """What makes `result` of `base`, packed.  Blocking (CPU)."""
    names = sorted(name for name, said in result.items() if base.get(name) != said)
    gone = sorted(base.keys() - result.keys())
    return _pack(codec.encode(_Change(names, [result[name] for name in names], gone)))


def applied(base: Mapping[str, str], change: bytes, digest: Digest) -> dict[str, str]:
    """`base` after `change`, proved to be the list `digest`.  Blocking (CPU).

    Raises:
        MessageInvalid: it is not.
    """
    found = codec.decode(_unpack(change), _Change)
    if len(found.names) != len(found.versions):
        raise MessageInvalid("names and versions differ in number", "software")
    made = dict(base) | dict(zip(found.names, found.versions, strict=True))
    for name in found.gone:
        made.pop(name, None)
    if digest_of(encoded(made)) != digest:
        raise MessageInvalid("the difference leads to another digest", "software")
    return made


def joined(facts: str, software: str) -> str:
    """Facts as JSON, with `software` (JSON) among them."""
    return f'{facts[:-1]},"software":{software}}}'


def _pack(raw: bytes) -> bytes:
    return zstandard.ZstdCompressor(level=_LEVEL, write_content_size=True).compress(raw)


def _unpack(data: bytes) -> bytes:
    if len(data) > LARGEST_PACKED:
        raise MessageInvalid("the list is too large", "software")
    try:
        size = zstandard.get_frame_parameters(data).content_size
        if not 0 < size <= LARGEST:  # an unknown size is the largest number there is
            raise MessageInvalid("the list is too large, or tells no size", "software")
        return zstandard.ZstdDecompressor(max_window_size=LARGEST).decompress(data, max_output_size=size)
    except (zstandard.ZstdError, MemoryError) as error:
        raise MessageInvalid("the list does not unpack", "software") from error
