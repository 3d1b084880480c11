"""Which base content each part of a new package is best made from: pairs of files, then regions.

Rules
- Only chunks that the base lacks are made; a chunk that did not change costs nothing, wherever it went.
- A file is paired with its namesake: the same path, else the same path but for numbers (versions in names), else the
  same name elsewhere, else the nearest of its kind in path order.
- Small files share regions, so none has a cost of its own; large ones are cut into several, each with the base
  content round the like place.  What room a reference has left goes to what lies beside it.
- Of a package with file groups each region makes what the machines of one group take (or all of them), out of what
  they hold: who took one group of the base can apply what is his, and needs nothing of the others (docs/adr/0009).
- Pure arithmetic over numbers and lengths: no content is read here.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from tiercast_protocol.content.package.definition import parse_definition
from tiercast_protocol.content.patches.patch import ContentOrder, index_order
from tiercast_protocol.content.sealed.digest import Digest
from tiercast_protocol.content.sealed.manifest import Entry, Kind, Root

#: Raw bytes that a region makes, and that it is made from (docs/adr/0007).
RESULT, REFERENCE = 8 << 20, 16 << 20
#: Part of a reference that what is alike may fill; the rest goes to what lies beside it.
_CORE = REFERENCE * 3 // 4
#: A base file up to this size is a reference as a whole; of a larger one, the like place and this much on both sides.
_WHOLE, _MARGIN = 1 << 20, 256 << 10
#: Least that a reference may grow to; a small edit is not to be made from 16 MiB.
_BESIDE = 512 << 10
_NUMBERS = re.compile(r"\d+(?:[._-]\d+)*")


#: The groups whose machines take something; None is every machine.
Takers = frozenset[str] | None


@dataclass(slots=True)
class FileAt:
    """Where a file's bytes lie: (chunk number, place in the file, length), in order."""

    size: int = 0
    spans: list[tuple[int, int, int]] = field(default_factory=list)


class Side:
    """One of the two packages, its lists read."""

    def __init__(self, digest: Digest, root: Root) -> None:
        self.digest = digest
        self.index = index_order(digest, root)
        self.order = ContentOrder()
        self.files: dict[str, FileAt] = {}
        self._numbers: dict[Digest, int] = {}
        files = parse_definition(root.definition).files if root.definition else ()
        self._groups = {one.folder: one.name for one in files}
        self._takers: list[set[str] | None] = []

    @property
    def grouped(self) -> bool:
        """Whether there are file groups."""
        return bool(self._groups)

    def group(self, path: str) -> str | None:
        """The group whose machines take `path`; None: every machine."""
        return self._groups.get(path.partition("/")[0]) if self._groups else None

    def takers(self, number: int) -> Takers:
        """Whose machines take the chunk."""
        found = self._takers[number]
        return None if found is None else frozenset(found)

    def add(self, entries: Sequence[Entry]) -> None:
        """Take the next list's entries."""
        self.order.add(entries)
        for entry in entries:
            if entry.kind is Kind.FILE and entry.parts:
                self._add_file(entry)

    def _add_file(self, entry: Entry) -> None:
        at = self.files.setdefault(entry.path, FileAt())
        place, group = entry.start, self.group(entry.path)
        for part in entry.parts:
            number = self._numbers.setdefault(part.digest, len(self._numbers))
            if number == len(self._takers):
                self._takers.append(set())
            if group is None:
                self._takers[number] = None
            elif (takers := self._takers[number]) is not None:
                takers.add(group)
            at.spans.append((number, place, part.length))
            place += part.length
        at.size = place


@dataclass(frozen=True, slots=True)
class Task:
    """One region to make: numbers of base and result chunks, ascending."""

    reference: list[int]
    result: list[int]


def content_tasks(base: Side, result: Side) -> Iterator[Task]:
    """The regions of the data chunks that `base` lacks."""
    held = base.order.lengths
    missing = [number for number, digest in enumerate(result.order.digests) if digest not in held]
    if not base.grouped and not result.grouped:
        yield from _tasks(base, result, missing, None)
        return
    parts: dict[Takers, list[int]] = {}
    for number in missing:
        parts.setdefault(result.takers(number), []).append(number)
    for takers, some in parts.items():
        yield from _tasks(base, result, some, takers)


def _tasks(base: Side, result: Side, missing: Sequence[int], takers: Takers) -> Iterator[Task]:
    """The regions of those chunks, which the machines of `takers` take."""
    lengths = list(result.order.lengths.values())
    alike = _Alike(base, result, missing, takers)
    base_lengths = list(base.order.lengths.values())
    usable = {number for number in range(len(base_lengths)) if _held_by(takers, base.takers(number))}
    numbers: list[int] = []
    core: set[int] = set()
    made = reference = 0
    for number in missing:
        more = alike.of(number) & usable
        grown = reference + sum(base_lengths[n] for n in more - core)
        if numbers and (made + lengths[number] > RESULT or grown > _CORE):
            yield Task(_widened(core, base_lengths, made, usable), numbers)
            numbers, core, made = [], set(), 0
            grown = sum(base_lengths[n] for n in more)
        numbers.append(number)
        core |= _fitting(more, base_lengths)
        made += lengths[number]
        reference = min(grown, _CORE)
    if numbers:
        yield Task(_widened(core, base_lengths, made, usable), numbers)


def _held_by(takers: Takers, holders: Takers) -> bool:
    """Whether all machines of `takers` hold what those of `holders` took."""
    return holders is None or (takers is not None and takers <= holders)


def index_tasks(base: Side, result: Side, lengths: Sequence[int], base_lengths: Sequence[int]) -> Iterator[Task]:
    """The regions of root and lists, whose raw lengths by number are given: what changed, out of what was there."""
    held, new = set(base.index), set(result.index)
    missing = [number for number, digest in enumerate(result.index) if digest not in held]
    gone = [number for number, digest in enumerate(base.index) if digest not in new]
    at = 0
    while at < len(missing):
        end, made = at, 0
        while end < len(missing) and made + lengths[missing[end]] <= RESULT // 2:
            made += lengths[missing[end]]
            end += 1
        first, last = at * len(gone) // len(missing), -(-end * len(gone) // len(missing))
        core = _fitting({0, *gone[max(0, first - 8) : last + 8]}, base_lengths)
        yield Task(sorted(core), missing[at:end])
        at = end


def _fitting(numbers: Iterable[int], lengths: Sequence[int]) -> set[int]:
    """As many of `numbers` as a reference holds, from the first."""
    chosen: set[int] = set()
    size = 0
    for number in sorted(numbers):
        size += lengths[number]
        if size > _CORE:
            break
        chosen.add(number)
    return chosen


def _widened(core: set[int], lengths: Sequence[int], made: int, usable: Container[int]) -> list[int]:
    """`core` and what lies beside it, evenly on all sides, as far as a reference for `made` bytes goes.

    Only what is `usable` counts.
    """
    most = min(REFERENCE, _BESIDE + 2 * made)
    chosen = set(core)
    size = sum(lengths[number] for number in chosen)
    edges = chosen
    while edges:
        beside = {n for at in edges for n in (at - 1, at + 1) if 0 <= n < len(lengths)} - chosen
        edges = set()
        for number in sorted(beside):
            if number in usable and size + lengths[number] <= most:
                size += lengths[number]
                edges.add(number)
        chosen |= edges
    return sorted(chosen)


class _Alike:
    """Which base chunks hold what is like a result chunk."""

    def __init__(self, base: Side, result: Side, missing: Sequence[int], takers: Takers = None) -> None:
        self._base = base
        self._result = result
        self._uses: dict[int, list[tuple[str, int, int]]] = {number: [] for number in missing}
        for path, file in result.files.items():
            for number, place, length in file.spans:
                if number in self._uses:
                    self._uses[number].append((path, place, length))
        own = takers if takers is not None and len(takers) == 1 else frozenset[str]()
        self._pairs = _Pairs(path for path in base.files if (group := base.group(path)) is None or group in own)

    def of(self, number: int) -> set[int]:
        """Numbers of base chunks; never empty unless the base is."""
        found: set[int] = set()
        for path, place, length in self._uses[number]:
            pair = self._pairs.of(path)
            if pair is not None:
                found |= _like_place(self._base.files[pair], self._result.files[path].size, place, length)
        return found


def _like_place(file: FileAt, size: int, place: int, length: int) -> set[int]:
    """Chunks of the base file `file` round the place that is like `place` of a file of `size` bytes."""
    if file.size <= _WHOLE:
        return {number for number, _, _ in file.spans}
    start = place * file.size // max(size, 1) - _MARGIN
    end = (place + length) * file.size // max(size, 1) + _MARGIN
    at = max(0, bisect_left(file.spans, start, key=lambda span: span[1]) - 1)
    found: set[int] = set()
    for number, begins, _ in file.spans[at:]:
        if begins >= end:
            break
        found.add(number)
    return found


class _Pairs:
    """Base files by path, by path without numbers, by name, by neighbourhood."""

    def __init__(self, files: Iterable[str]) -> None:
        self._paths = sorted(files)
        self._exact = set(self._paths)
        self._plain: dict[str, str] = {}
        self._named: dict[str, str] = {}
        for path in self._paths:
            self._plain[_NUMBERS.sub("#", path)] = path
            self._named[_NUMBERS.sub("#", path.rpartition("/")[2])] = path
        self._known: dict[str, str | None] = {}

    def of(self, path: str) -> str | None:
        """The base file that `path` is most likely made from."""
        if path not in self._known:
            self._known[path] = self._find(path)
        return self._known[path]

    def _find(self, path: str) -> str | None:
        if path in self._exact:
            return path
        plain = _NUMBERS.sub("#", path)
        found = self._plain.get(plain) or self._named.get(plain.rpartition("/")[2])
        return found or self._nearest(path)

    def _nearest(self, path: str) -> str | None:
        if not self._paths:
            return None
        at = bisect_left(self._paths, path)
        beside = self._paths[max(0, at - 8) : at + 8]
        ending = path.rpartition(".")[2]
        return max(beside, key=lambda other: (other.endswith(ending), _same(other, path)))


def _same(one: str, other: str) -> int:
    """Leading parts that two paths share."""
    return sum(1 for a, b in zip(one.split("/"), other.split("/"), strict=False) if a == b)
