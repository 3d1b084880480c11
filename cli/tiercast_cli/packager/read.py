"""Reads a tree's files as chunks, and tells the manifest's entries of them.

Rules
- Bounded: one file is open, two of the largest chunks and one pack are in memory, whatever the tree's size.
- A file below `pack_below` joins the pack; its entry waits until the pack is closed and has a digest.  Entries
  come out in tree order all the same.
- A pack holds files of one file group, or of none: who takes a group fetches nothing of another's with it.
- A file is opened without following a link, and compared before and after with what the scan saw.
"""

from __future__ import annotations

import io
import os
from collections import deque
from collections.abc import Collection, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from tiercast_cli.packager.scan import Found, Stamp
from tiercast_protocol.content.sealed.chunking import TC1, Chunker, Parameters
from tiercast_protocol.content.sealed.digest import EMPTY, Digest, digest_of, hasher
from tiercast_protocol.content.sealed.manifest import Entry, Kind, Part
from tiercast_protocol.errors import UsageError


@dataclass(slots=True)
class _Waiting:
    """An entry and, of a packed file, where in the open pack it stands."""

    entry: Entry
    offset: int = -1


class TreeReader:
    """Yields raw chunks; `take_entries` gives the entries that are complete by then."""

    def __init__(
        self, folder: Path, found: Iterable[Found], parameters: Parameters = TC1, *, groups: Collection[str] = ()
    ) -> None:
        """`groups`: folders of file groups."""
        self._folder = folder
        self._found = found
        self._chunker = Chunker(parameters)
        self._parameters = parameters
        self._pack = bytearray()
        self._groups, self._group = frozenset(groups), ""
        self._waiting: deque[_Waiting] = deque()
        self._ready: list[Entry] = []

    def chunks(self) -> Iterator[tuple[Digest, bytes]]:
        """Every chunk in the order of first use, with repetitions: digest and raw bytes.

        Raises:
            UsageError: a file that can't be read, or changed since it was scanned.
        """
        for found in self._found:
            if found.kind is not Kind.FILE:
                self._add(Entry(found.path, found.kind, found.mode, target=found.target))
            elif found.stamp.size < self._parameters.pack_below:
                yield from self._packed(found)
            else:
                yield from self._split(found)
        yield from self._close_pack()

    def take_entries(self) -> list[Entry]:
        """The entries that are complete and were not taken yet, in tree order."""
        ready, self._ready = self._ready, []
        return ready

    def _add(self, entry: Entry, offset: int = -1) -> None:
        if self._waiting or offset >= 0:
            self._waiting.append(_Waiting(entry, offset))
        else:
            self._ready.append(entry)

    def _packed(self, found: Found) -> Iterator[tuple[Digest, bytes]]:
        with closing(self._open(found)) as file:
            data = file.read(found.stamp.size + 1)
            self._check(found, file, len(data))
        digest = digest_of(data) if data else EMPTY
        entry = Entry(found.path, Kind.FILE, found.mode, len(data), digest=digest)
        if not data:
            self._add(entry)
            return
        top = found.path.partition("/")[0]
        group = top if top in self._groups else ""
        if group != self._group or len(self._pack) + len(data) > self._parameters.pack_maximum:
            yield from self._close_pack()
        self._group = group
        self._add(entry, len(self._pack))
        self._pack += data
        if self._chunker.pack_ends(len(self._pack), len(data), digest):
            yield from self._close_pack()

    def _close_pack(self) -> Iterator[tuple[Digest, bytes]]:
        if not self._pack:
            return
        raw = bytes(self._pack)
        self._pack.clear()
        digest = digest_of(raw)
        for waiting in self._waiting:
            if waiting.offset < 0:
                self._ready.append(waiting.entry)
            else:
                parts = (Part(digest, waiting.offset, waiting.entry.size),)
                self._ready.append(replace(waiting.entry, parts=parts))
        self._waiting.clear()
        yield digest, raw

    def _split(self, found: Found) -> Iterator[tuple[Digest, bytes]]:
        whole, parts, size = hasher(), [], 0
        with closing(self._open(found)) as file:
            for view in self._chunker.split_stream(file.readinto):
                raw = bytes(view)
                whole.update(raw)
                digest = digest_of(raw)
                parts.append(Part(digest, 0, len(raw)))
                size += len(raw)
                if size > found.stamp.size:
                    break
                yield digest, raw
            self._check(found, file, size)
        self._add(Entry(found.path, Kind.FILE, found.mode, size, digest=whole.digest(), parts=tuple(parts)))

    def _open(self, found: Found) -> io.BufferedReader:
        where = self._folder / found.path
        try:
            return os.fdopen(os.open(where, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
        except OSError as error:
            todo = "Check its permissions, and that nothing changes the folder while it is packaged."
            raise UsageError("tree.unreadable", f"can't be read: {error.strerror}", str(where), todo) from error

    def _check(self, found: Found, file: io.BufferedReader, size: int) -> None:
        if Stamp.of(os.fstat(file.fileno())) != found.stamp or size != found.stamp.size:
            todo = "Package a copy that nothing writes to, or stop what writes, and build again."
            where = str(self._folder / found.path)
            raise UsageError("tree.changed", "the file changed while it was packaged", where, todo)
