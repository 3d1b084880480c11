"""Seals a folder: chunks as they are read, entry lists as they fill, the root at the end.

Rules
- The caller learns digests first and asks for stored forms after, so nothing is compressed that the server holds
  already.  Registering again reads and hashes, no more.
- Memory is two batches (one with the caller, one being read) and the stored forms asked for; the digests
  seen so far cost about 100 bytes each.
- Reading, cutting and hashing go on in a thread while the caller's batch is compressed on all cores.
- The same folder and definition give the same root, whatever order the file system lists names in.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from tiercast_cli.packager.read import TreeReader
from tiercast_cli.packager.scan import Found, Wrong, refuse, scan
from tiercast_cli.packager.sources import check_sources
from tiercast_protocol.content.package.definition import Definition, canonical
from tiercast_protocol.content.package.filegroups import choice_of, merged
from tiercast_protocol.content.sealed.chunk import LEVEL, pack
from tiercast_protocol.content.sealed.chunking import TC1, Parameters
from tiercast_protocol.content.sealed.digest import Digest, digest_of
from tiercast_protocol.content.sealed.manifest import FORMAT, MAX_LISTS, Entry, Kind, ListCutter, Root, encode_root
from tiercast_protocol.content.sealed.paths import folded
from tiercast_protocol.errors import MessageInvalid, UsageError

#: Raw bytes, and chunks, of one batch.
BATCH_BYTES, BATCH_CHUNKS = 8 * 1024 * 1024, 512


class RawChunk(NamedTuple):
    """A chunk that was not compressed yet: its digest, its raw length, and what makes its stored form."""

    digest: Digest
    raw_len: int
    make_stored: Callable[[], bytes]


@dataclass(frozen=True, slots=True)
class Sealed:
    """What became of a folder.

    Attributes:
        root: of the package; `digest` names it.
        folders, links: in the tree (`root` counts files).
        list_bytes: raw bytes of the entry lists.
        stored_chunks, stored_bytes: of what the caller asked the stored form of, lists and root included.
    """

    root: Root
    digest: Digest
    folders: int
    links: int
    list_bytes: int
    stored_chunks: int
    stored_bytes: int


class Batch:
    """Chunks that were not seen before in this tree; at most about `BATCH_BYTES` raw."""

    def __init__(self, chunks: list[RawChunk], pool: ThreadPoolExecutor) -> None:
        self.chunks = chunks
        self._pool = pool

    @property
    def digests(self) -> list[Digest]:
        """The digests, in order."""
        return [chunk.digest for chunk in self.chunks]

    def stored(self, wanted: Container[Digest] | None = None) -> Iterator[tuple[Digest, bytes]]:
        """Digest and stored form of each chunk (of those in `wanted`), in order, compressed on all cores."""
        chosen = [chunk for chunk in self.chunks if wanted is None or chunk.digest in wanted]
        made = self._pool.map(_make, chosen)
        return zip([chunk.digest for chunk in chosen], made, strict=True)


class TreeSealer:
    """One run over one folder: iterate `batches`, then take `sealed`."""

    def __init__(
        self,
        folder: Path,
        definition: Definition,
        *,
        parameters: Parameters = TC1,
        level: int = LEVEL,
        exclude: Collection[str] = (),
        workers: int | None = None,
    ) -> None:
        self._folder = folder
        self._definition = definition
        self._parameters = parameters
        self._level = level
        self._exclude = exclude
        self._workers = workers or min(4, os.cpu_count() or 1)
        self._seen: set[Digest] = set()
        self._lock = threading.Lock()
        self._stored_chunks = self._stored_bytes = 0
        self._end: tuple[Root, Digest, int, int, int] | None = None

    @property
    def sealed(self) -> Sealed:
        """What became of the folder; only after `batches` is exhausted."""
        if self._end is None:
            raise RuntimeError("the batches are not exhausted")
        return Sealed(*self._end, stored_chunks=self._stored_chunks, stored_bytes=self._stored_bytes)

    def batches(self) -> Iterator[Batch]:
        """Every distinct chunk once; the root is the last of the last batch.

        Raises:
            UsageError: the folder or the definition can't be packaged; nothing is sealed then.
        """
        definition = self._definition
        found = scan(
            self._folder,
            allow_setuid=definition.allow_setuid,
            allow_case_collisions=definition.allow_case_collisions,
            exclude=self._exclude,
        )
        check_programs(definition, found, self._folder)
        check_sources(definition, found, self._folder)
        check_groups(definition, found, self._folder)
        with (
            ThreadPoolExecutor(self._workers, "tiercast-pack") as pool,
            ThreadPoolExecutor(1, "tiercast-read") as reader,
        ):
            source = self._batched(found)
            ahead = reader.submit(next, source, None)
            while (chunks := ahead.result()) is not None:
                ahead = reader.submit(next, source, None)
                yield Batch(chunks, pool)

    def _batched(self, found: list[Found]) -> Iterator[list[RawChunk]]:
        batch: list[RawChunk] = []
        size = 0
        for chunk in self._sealing(found):
            batch.append(chunk)
            size += chunk.raw_len
            if size >= BATCH_BYTES or len(batch) >= BATCH_CHUNKS:
                yield batch
                batch, size = [], 0
        yield batch

    def _sealing(self, found: list[Found]) -> Iterator[RawChunk]:
        groups = [one.folder for one in self._definition.files]
        reader, cutter = TreeReader(self._folder, found, self._parameters, groups=groups), ListCutter()
        lists: list[Digest] = []
        chunks = chunk_bytes = list_bytes = 0
        for digest, raw in reader.chunks():
            if digest not in self._seen:
                chunks += 1
                chunk_bytes += len(raw)
                yield self._new(digest, raw)
            for entry in reader.take_entries():
                for listed in cutter.add(entry):
                    list_bytes += len(listed)
                    yield from self._manifest(listed, lists)
        rest = [listed for entry in reader.take_entries() for listed in cutter.add(entry)]
        for listed in [*rest, *cutter.finish()]:
            list_bytes += len(listed)
            yield from self._manifest(listed, lists)
        if len(lists) > MAX_LISTS:
            todo = "Split it into several packages: one holds about 4 million files, or 500 GiB."
            raise UsageError("package.too_large", "the tree is too large for one package", str(self._folder), todo)
        files = [entry for entry in found if entry.kind is Kind.FILE]
        root = Root(
            format=FORMAT,
            chunking=self._parameters.name,
            name=self._definition.name,
            version=self._definition.version,
            revision=self._definition.revision,
            definition=canonical(self._definition),
            lists=lists,
            files=len(files),
            size=sum(entry.stamp.size for entry in files),
            chunks=chunks,
            chunk_bytes=chunk_bytes,
        )
        raw = encode_root(root)
        digest = digest_of(raw)
        folders = sum(entry.kind is Kind.FOLDER for entry in found)
        self._end = (root, digest, folders, len(found) - folders - len(files), list_bytes)
        yield self._new(digest, raw)

    def _manifest(self, raw: bytes, lists: list[Digest]) -> Iterator[RawChunk]:
        digest = digest_of(raw)
        lists.append(digest)
        if digest not in self._seen:
            yield self._new(digest, raw)

    def _new(self, digest: Digest, raw: bytes) -> RawChunk:
        self._seen.add(digest)
        return RawChunk(digest, len(raw), lambda: self._pack(raw))

    def _pack(self, raw: bytes) -> bytes:
        stored = pack(raw, self._level)
        with self._lock:
            self._stored_chunks += 1
            self._stored_bytes += len(stored)
        return stored


def check_programs(definition: Definition, found: Iterable[Found], folder: Path, wrong: Wrong = refuse) -> None:
    """Refuse a definition whose programs are not in the tree, as files that can be run, on every machine it is for.

    Raises:
        UsageError: which program, and what is wrong with it; as `wrong` has it.
    """
    programs = (definition.run_before, definition.run_after, definition.check, definition.confirm)
    begun = [program.argv[0] for program in programs if program is not None]
    wanted = {path.removeprefix("./") for path in begun if path.startswith("./")}
    there = {entry.path: entry for entry in found} if wanted else {}
    for path in sorted(wanted):
        for entry in _as_taken(definition, there, path, folder, wrong):
            if entry.kind is not Kind.FILE or not entry.mode & 0o100:
                todo = "Make it a file that its owner may run: chmod +x."
                wrong(UsageError("program.not_runnable", f"{entry.path} can't be run", str(folder), todo))


def _as_taken(definition: Definition, there: Mapping[str, Found], path: str, folder: Path, wrong: Wrong) -> list[Found]:
    """What stands at `path` on machines of each file group."""
    if path in there and path.partition("/")[0] not in {one.folder for one in definition.files}:
        return [there[path]]
    found: list[Found] = []
    for group in definition.files or (None,):
        entry = there.get(f"{group.folder}/{path}") if group else None
        if entry is None:
            where = f", nor in {group.folder}" if group else ""
            todo = "Put it into the folder, or correct argv in the definition."
            what = f"the definition runs {path}, which is not in the folder{where}"
            wrong(UsageError("program.missing", what, str(folder), todo))
        else:
            found.append(entry)
    return found


def check_groups(definition: Definition, found: Iterable[Found], folder: Path, wrong: Wrong = refuse) -> None:
    """Refuse file groups without their folder, and what no machine could take: see `filegroups`.

    Raises:
        UsageError: group.folder or group.tree, as `wrong` has it.
    """
    if not definition.files:
        return
    entries = [Entry(one.path, one.kind, one.mode, target=one.target) for one in found]
    folders = {one.path for one in entries if one.kind is Kind.FOLDER}
    for group in definition.files:
        if group.folder not in folders:
            what = f"the group {group.name} has the folder {group.folder}, which is not in the tree"
            wrong(UsageError("group.folder", what, str(folder), "Make it, or correct `folder` in the definition."))
            continue
        choice = choice_of(definition.files, group)
        try:
            taken = [one.path for one in merged(choice.common(entries), choice.own(entries))]
        except MessageInvalid as error:
            what = f"machines of the group {group.name} can't take it: {error.reason}"
            todo = "Rename one of both; links of a group lead to what the group or the rest holds."
            wrong(UsageError("group.tree", what, str(folder), todo))
            continue
        alike: dict[str, str] = {}
        for path in [] if definition.allow_case_collisions else taken:
            if (other := alike.setdefault(folded(path), path)) != path:
                what = f"for the group {group.name} two names differ by case only: {other} and {path}"
                todo = "Rename one, or set allow_case_collisions = true if no endpoint's file system folds case."
                wrong(UsageError("tree.case", what, str(folder), todo))


def _make(chunk: RawChunk) -> bytes:
    return chunk.make_stored()
