"""Stretches of entry lists, each read, proved and written by one thread (docs/on-the-endpoint.md).

Rules
- For trees of many files whose chunks are here: what a thread has read it writes itself, so no file waits for another
  thread, and several stretches are done at a time.
- Lists are taken in one after the other, which makes their folders; after that their files may come in any order.
- Bounded memory: of a stretch, a run of a megabyte is read at a time, what lies side by side with one call.
- A small file is proved by its own digest, in memory, and then written; what it was cut from needs no proof beside.
  A large one grows by chunks that were proved, and as a whole.
- What can't be read or does not prove true is left, and given back: whoever assembles gets it chunk by chunk, which
  tells a damaged chunk from a manifest that lies.
- A large file ends when all of its pieces are written that were taken in, and the last one was.
- Synchronous: called in worker threads, `write` by several.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import blake3

from tiercast_endpoint.trees.batches import cut, running
from tiercast_endpoint.trees.growing import GrowingFile
from tiercast_endpoint.trees.tree import OpenTree
from tiercast_endpoint.trees.treewriter import TreeWriter
from tiercast_endpoint.trees.walk import is_large
from tiercast_protocol.content.sealed.digest import digest_of
from tiercast_protocol.content.sealed.manifest import Entry, Kind, Part
from tiercast_protocol.node.chunks.port import Reading

Digest = bytes
#: Raw bytes of files after which a run, and a stretch, ends.
RUN_BYTES = 1 << 20
STRETCH_BYTES = 8 << 20


@dataclass(frozen=True, slots=True)
class Stretch:
    """Files that follow each other in a list that was taken in, and their chunks."""

    entries: Sequence[Entry]
    digests: Sequence[Digest]


@dataclass(frozen=True, slots=True)
class Piece:
    """Parts of one file, each with its place there: all of a small one (`file` is None), or some of a large one."""

    entry: Entry
    parts: Sequence[tuple[int, Part]]
    file: GrowingFile | None = None


@dataclass(slots=True)
class _Open:
    """A large file: pieces that were taken in and not yet written, and its last entry."""

    pieces: int = 0
    last: Entry | None = None


@dataclass(slots=True)
class Wholesale:
    """Writes lists with `writer`."""

    writer: TreeWriter
    _open: dict[str, _Open] = field(default_factory=dict)
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def take_in(self, entries: Sequence[Entry]) -> list[Stretch]:
        """Make the folders of a list, note its links, and cut its files into stretches; raises as `write`."""
        stretches: list[Stretch] = []
        files: list[Entry] = []
        size = 0
        for entry in entries:
            if entry.kind is Kind.FOLDER:
                self.writer.add_folder(entry.path, entry.mode)
                continue
            if entry.kind is Kind.LINK:
                self.writer.add_link(entry.path, entry.target)
                continue
            if is_large(entry):
                with self._guard:
                    large = self._open.setdefault(entry.path, _Open())
                    large.pieces += 1
                    large.last = None if entry.more else entry
            files.append(entry)
            size += sum([part.length for part in entry.parts])
            if size >= STRETCH_BYTES:
                stretches.append(_stretch(files))
                files, size = [], 0
        if files:
            stretches.append(_stretch(files))
        return stretches

    def write(self, entries: Sequence[Entry], read: Reading) -> tuple[int, list[Entry]]:
        """Write the files of a stretch; the bytes written, and the entries of which something is left to be written.

        Raises:
            TreeError: a file can't be made here, or a large one is not what the manifest says.
            OSError: the disk's own.
        """
        written = 0
        left: dict[str, Entry] = {}
        with OpenTree(self.writer.root) as folders:
            for run in _runs(self.writer, entries):
                proved = {part.digest for piece in run if piece.file is not None for _, part in piece.parts}
                small = {part.digest for piece in run if piece.file is None for _, part in piece.parts} - proved
                raws = read([*small, *proved], small)
                for piece in run:
                    wrote = self._write(folders, piece, raws)
                    if wrote is None:
                        left[piece.entry.path] = piece.entry
                    else:
                        written += wrote
        for entry in entries:
            if is_large(entry) and entry.path not in left:
                self.ended(entry)
        return written, list(left.values())

    def ended(self, entry: Entry) -> None:
        """All of this entry of a large file is written; with the last one the file ends.  Raises as `write`."""
        with self._guard:
            large = self._open[entry.path]
            large.pieces -= 1
            last = large.last
            if large.pieces or last is None:
                return
            del self._open[entry.path]
        self.writer.end_growing(last.path, last.mode, last.digest, last.size)

    def _write(self, folders: OpenTree, piece: Piece, raws: Mapping[Digest, bytes | memoryview]) -> int | None:
        """The bytes written; None where a chunk is missing, or not what a small file is made of."""
        entry = piece.entry
        if any(part.digest not in raws for _, part in piece.parts):
            return None
        data = [cut(entry, part, raws[part.digest]) for _, part in piece.parts]
        if piece.file is None:
            if _digest_of(data) != entry.digest:
                return None
            self.writer.put_file(folders, entry.path, entry.mode, data)
        else:
            at = 0
            while at < len(data):  # what follows each other goes with one call
                begun, end = at, piece.parts[at][0]
                while at < len(data) and piece.parts[at][0] == end:
                    end += len(data[at])
                    at += 1
                piece.file.put(piece.parts[begun][0], data[begun:at])
        return sum(map(len, data))


def _stretch(files: list[Entry]) -> Stretch:
    return Stretch(files, list(dict.fromkeys([part.digest for entry in files for part in entry.parts])))


def _digest_of(data: Sequence[memoryview]) -> Digest:
    if len(data) == 1:
        return digest_of(data[0])
    hasher = blake3.blake3()
    for some in data:
        hasher.update(some)
    return hasher.digest()


def _runs(writer: TreeWriter, entries: Sequence[Entry]) -> Iterator[list[Piece]]:
    """The files of a list, cut where enough bytes of them are to be read together."""
    run: list[Piece] = []
    size = 0
    for entry in entries:
        if not is_large(entry):
            run.append(Piece(entry, running(entry.parts)))
            size += entry.size
            if size >= RUN_BYTES:
                yield run
                run, size = [], 0
            continue
        file = writer.grow(entry.path)
        some: list[tuple[int, Part]] = []
        for at, part in _lacking(file, entry):
            some.append((at, part))
            size += part.length
            if size >= RUN_BYTES:
                yield [*run, Piece(entry, some, file)]
                run, some, size = [], [], 0
        if some:
            run.append(Piece(entry, some, file))
    if run:
        yield run


def _lacking(file: GrowingFile, entry: Entry) -> list[tuple[int, Part]]:
    """The parts of a large entry that are not in its file; what is only claimed is proved first."""
    parts = [(entry.start + before, part) for before, part in running(entry.parts)]
    if file.covers(entry.start, entry.end - entry.start):
        return []
    if claimed := [
        (at, part.length, part.digest)
        for at, part in parts
        if file.claims(at, part.length) and not file.covers(at, part.length)
    ]:
        file.prove(claimed)
    return [(at, part) for at, part in parts if not file.covers(at, part.length)]
