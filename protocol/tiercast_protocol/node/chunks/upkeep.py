"""Reading, checking and giving back what lies in sections; blocking, run in the store's threads."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from tiercast_protocol.content.chunk import unseal
from tiercast_protocol.content.digest import Digest
from tiercast_protocol.errors import ChunkCorrupt
from tiercast_protocol.node.chunks.index import Place, gaps
from tiercast_protocol.node.chunks.sections import Sections

GOOD, DAMAGED, LOST = "good", "damaged", "lost"


@dataclass(slots=True)
class AuditResult:
    """What an audit found.

    `damaged` do not hash to their digest, `lost` are shorter than the index says or gone: both are missing from now
    on.  `extra` are section files that no chunk is in.
    """

    checked: int = 0
    damaged: list[Digest] = field(default_factory=list)
    lost: list[Digest] = field(default_factory=list)
    extra: list[str] = field(default_factory=list)


def read_verified(sections: Sections, digest: Digest, place: Place) -> bytes:
    """The stored form at `place`.

    Raises:
        ChunkCorrupt: not there, not readable, or not what `digest` names.
    """
    stored = _read(sections, digest, place)
    unseal(digest, stored)
    return stored


def read_raw(sections: Sections, digest: Digest, place: Place) -> bytes:
    """The raw bytes of the chunk at `place`; errors as `read_verified`."""
    return unseal(digest, _read(sections, digest, place))


def _read(sections: Sections, digest: Digest, place: Place) -> bytes:
    try:
        stored = sections.read(place)
    except OSError as error:
        raise ChunkCorrupt(digest, f"the disk does not read it ({error.strerror})") from error
    if len(stored) != place.size:
        raise ChunkCorrupt(digest, f"{len(stored)} of its {place.size} bytes are left")
    return stored


def read_some(sections: Sections, places: Mapping[Digest, Place]) -> dict[Digest, bytes]:
    """The stored forms at these places, without those that `read_verified` would raise for."""
    found: dict[Digest, bytes] = {}
    for digest, place in places.items():
        with suppress(ChunkCorrupt):
            found[digest] = read_verified(sections, digest, place)
    return found


def check(sections: Sections, digest: Digest, place: Place) -> str:
    """GOOD, DAMAGED or LOST."""
    try:
        read_verified(sections, digest, place)
    except ChunkCorrupt:
        with suppress(OSError):
            if len(sections.read(place)) != place.size:
                return LOST
        return DAMAGED
    return GOOD


def reclaim(sections: Sections, number: int, rows: list[tuple[Digest, Place]]) -> int:
    """Give back what no chunk of the section needs; returns bytes that stay lost.

    `rows` are all that is indexed in the section.
    """
    end, pending = sections.extent(number)
    if not rows and not pending and sections.drop(number):
        return 0
    free = list(gaps(sorted([*rows, *pending], key=lambda row: row[1].start), end))
    if not free or sections.punch(number, free):
        return 0
    return sum(size for _, size in free)


def move(sections: Sections, rows: list[tuple[Digest, Place]]) -> None:
    """Append these chunks anew; damaged ones are left behind, for a read to find."""
    for digest, place in rows:
        with suppress(ChunkCorrupt):
            sections.append(digest, read_verified(sections, digest, place))
