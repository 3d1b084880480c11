"""Reading, checking and giving back what lies in sections; blocking, run in the store's threads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import TypeVar

from tiercast_protocol.content.sealed.chunk import unseal, verify
from tiercast_protocol.content.sealed.digest import Digest
from tiercast_protocol.errors import ChunkCorrupt
from tiercast_protocol.node.chunks.index import Place, gaps
from tiercast_protocol.node.chunks.sections import Sections

T = TypeVar("T", bound=bytes | memoryview)
#: Bytes read with one call.
_LONGEST_READ = 2 << 20
GOOD, DAMAGED, LOST = "good", "damaged", "lost"


def read_verified(sections: Sections, digest: Digest, place: Place) -> bytes:
    """The stored form at `place`.

    Raises:
        ChunkCorrupt: not there, not readable, or not what `digest` names.
    """
    stored = _read(sections, digest, place)
    verify(digest, stored)
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


def as_stored(digest: Digest, stored: memoryview) -> bytes:
    """A stored form, proved; raises `ChunkCorrupt`."""
    verify(digest, stored)
    return bytes(stored)


def read_some(
    sections: Sections,
    places: Mapping[Digest, Place],
    make: Callable[[Digest, memoryview], T],
) -> dict[Digest, T]:
    """What `make` makes of the chunks at these places, without those for which it raises `ChunkCorrupt`.

    What lies side by side is read with one call.
    """
    found: dict[Digest, T] = {}
    run: list[tuple[Digest, Place]] = []
    for digest, place in sorted(places.items(), key=lambda item: item[1]):
        if run and not _continues(run, place):
            _read_run(sections, run, found, make)
            run = []
        run.append((digest, place))
    if run:
        _read_run(sections, run, found, make)
    return found


def _continues(run: list[tuple[Digest, Place]], place: Place) -> bool:
    first, last = run[0][1], run[-1][1]
    return (
        place.section == last.section
        and place.start == last.start + last.size
        and place.start + place.size - first.start <= _LONGEST_READ
    )


def _read_run(
    sections: Sections,
    run: list[tuple[Digest, Place]],
    found: dict[Digest, T],
    make: Callable[[Digest, memoryview], T],
) -> None:
    first, last = run[0][1], run[-1][1]
    try:
        data = memoryview(sections.read(Place(first.section, first.start, last.start + last.size - first.start)))
    except OSError:
        return
    for digest, place in run:
        with suppress(ChunkCorrupt):
            found[digest] = make(digest, data[place.start - first.start : place.start - first.start + place.size])


def check(sections: Sections, digest: Digest, place: Place) -> str:
    """GOOD, DAMAGED (it is not what its digest names) or LOST (not there, or not to be read)."""
    try:
        read_verified(sections, digest, place)
    except ChunkCorrupt:
        try:
            return DAMAGED if len(sections.read(place)) == place.size else LOST
        except OSError:
            return LOST
    return GOOD


def check_some(sections: Sections, rows: Iterable[tuple[Digest, Place]]) -> dict[Digest, str]:
    """Those of these chunks that are not good on the disk, with their state."""
    found: dict[Digest, str] = {}
    for digest, place in rows:
        # What lies in the system's memory proves nothing of the disk.
        sections.uncache(place)
        state = check(sections, digest, place)
        if state != GOOD:
            found[digest] = state
    return found


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
            sections.append([(digest, read_verified(sections, digest, place))])
