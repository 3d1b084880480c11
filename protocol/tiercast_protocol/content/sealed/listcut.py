"""Where a tree's entries are cut into lists.

Rules
- Roughly 13 KiB raw, 9 KiB stored: an edit costs one list and the root, which has 32 bytes per list.
- A list ends where a folder ends, chosen by the name of what follows, so a changed, added or removed entry
  changes its own list and seldom the next; no edit of content moves a cut.
- A folder, or a file of thousands of parts, that would grow a list beyond bounds is cut inside, by
  the next name or chunk in the same way, and at last by size alone.
- Sizes are estimated by a fixed rule, so a better packing of lists would not move a cut.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from tiercast_protocol.content.sealed.digest import digest_of
from tiercast_protocol.content.sealed.entry import Entry, Kind
from tiercast_protocol.content.sealed.entrylist import encode_list
from tiercast_protocol.content.sealed.paths import folder_of

#: Estimated bytes of a list: cut at folders from LEAST, at any entry from SOFT, anywhere at MOST.
LEAST, SOFT, MOST = 24 * 1024, 48 * 1024, 64 * 1024
#: Estimated bytes between two places where a cut is taken, once it may be.
_FOLDER_SPACING, _ENTRY_SPACING = 16 * 1024, 8 * 1024
_ENTRY_BYTES, _PART_BYTES = 44, 36


class ListCutter:
    """Takes entries in tree order, gives the raw bytes of lists as they are full."""

    def __init__(self) -> None:
        self._entries: list[Entry] = []
        self._bytes = 0
        self._since_folder = 0

    def add(self, entry: Entry) -> Iterator[bytes]:
        """Take the next entry; yields each list that is complete by now."""
        weight = _ENTRY_BYTES + len(entry.path.encode()) + len(entry.target)
        if self._entries and self._ends_before(entry, weight):
            yield self._flush()
        room = (MOST - self._bytes - weight) // _PART_BYTES
        while entry.kind is Kind.FILE and len(entry.parts) > max(room, 1):
            at = _cut_in_parts(entry, max(room, 1))
            head = replace(entry, parts=entry.parts[:at], size=0, digest=b"", more=True)
            self._entries.append(head)
            yield self._flush()
            entry = replace(entry, parts=entry.parts[at:], start=head.end)
            room = (MOST - weight) // _PART_BYTES
        weight += _PART_BYTES * len(entry.parts)
        self._entries.append(entry)
        self._bytes += weight
        self._since_folder += weight

    def finish(self) -> Iterator[bytes]:
        """The last list, if any entry is left."""
        if self._entries:
            yield self._flush()

    def _ends_before(self, entry: Entry, weight: int) -> bool:
        if self._bytes + weight >= MOST:
            return True
        new_folder = folder_of(entry.path) != folder_of(self._entries[-1].path) or entry.kind is Kind.FOLDER
        if not new_folder and self._bytes < SOFT:
            return False
        spacing, since = _ENTRY_SPACING, weight
        if new_folder:
            spacing, since, self._since_folder = _FOLDER_SPACING, self._since_folder, 0
        return self._bytes >= LEAST and _lot(entry.path.encode()) * spacing < since << 32

    def _flush(self) -> bytes:
        raw = encode_list(self._entries)
        self._entries, self._bytes, self._since_folder = [], 0, 0
        return raw


def cut_lists(entries: Iterable[Entry]) -> Iterator[bytes]:
    """The raw bytes of each list of `entries`, which come in tree order."""
    cutter = ListCutter()
    for entry in entries:
        yield from cutter.add(entry)
    yield from cutter.finish()


def _cut_in_parts(entry: Entry, room: int) -> int:
    """How many of a file's parts this list takes: at least 1, at most `room`, by the digests near the end."""
    for at in range(room, max(room * 2 // 3, 1), -1):
        if _lot(entry.parts[at].digest) < 1 << 25:  # one in 128
            return at
    return room


def _lot(data: bytes) -> int:
    """32 even bits that depend on `data` alone."""
    return int.from_bytes(digest_of(data)[:4], "big")
