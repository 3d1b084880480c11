"""What the children of a node want, and whether the depot has it.

Rules
- A chunk is known here while somebody wants it, and not longer: the depot keeps the truth, not this machine.
- It is looked for once, however many want it, and again for each further job (`MOST_JOBS` at most, and any that is
  more urgent): the way from above may be shut to one and open to the other.
- It is forgotten when nobody wants it and it was not found yet.
"""

from __future__ import annotations

from collections.abc import Iterable

from tiercast_protocol.transfer.events import Child, Digest
from tiercast_protocol.transfer.jobs import Job
from tiercast_protocol.transfer.wants import MOST_JOBS


class Chunk:
    """A chunk that somebody wants: its stored size once it is found, who wants it, for which jobs it is looked for."""

    __slots__ = ("further", "job", "size", "wanters")

    def __init__(self, job: Job) -> None:
        #: Of several the most urgent.
        self.job = job
        self.further: tuple[Job, ...] = ()
        self.size: int | None = None
        self.wanters: dict[Child, None] = {}


class Supply:
    """All chunks wanted below, and the looking for them."""

    __slots__ = ("_chunks", "_to_find", "_to_forget", "_to_raise")

    def __init__(self) -> None:
        self._chunks: dict[Digest, Chunk] = {}
        self._to_find: dict[Digest, Job] = {}
        #: And the jobs that it was looked for.
        self._to_forget: dict[Digest, tuple[Job, ...]] = {}
        #: Looked for already, but now for further jobs.
        self._to_raise: dict[Digest, tuple[Job, ...]] = {}

    def __len__(self) -> int:
        return len(self._chunks)

    def get(self, digest: Digest) -> Chunk | None:
        """The chunk, if somebody wants it."""
        return self._chunks.get(digest)

    def size(self, digest: Digest) -> int:
        """Stored size of a chunk that is at hand."""
        size = self._chunks[digest].size
        if size is None:
            raise KeyError(digest)
        return size

    def promised(self, digest: Digest) -> bool:
        """Whether a child relies on the chunk: it wants it, and it was found at hand."""
        chunk = self._chunks.get(digest)
        return chunk is not None and chunk.size is not None

    def want(self, digest: Digest, child: Child, job: Job) -> int | None:
        """`child` wants the chunk for `job`; its size if it is at hand already."""
        chunk = self._chunks.get(digest)
        if chunk is None:
            chunk = self._chunks[digest] = Chunk(job)
            before = self._to_forget.pop(digest, None)
            if before is None:
                self._to_find[digest] = job
            else:
                chunk.further = tuple(other for other in before if other is not job)
                if job not in before:
                    self._to_raise[digest] = (job,)
        elif chunk.size is None and job is not chunk.job and job not in chunk.further:
            more_urgent = job.priority > chunk.job.priority
            if more_urgent or len(chunk.further) < MOST_JOBS - 1:
                # The way from above is to know: there it may go for this one, or pass others.
                chunk.further = (*chunk.further, chunk.job if more_urgent else job)
                chunk.job = job if more_urgent else chunk.job
                self._to_raise[digest] = (*self._to_raise.get(digest, ()), job)
        chunk.wanters[child] = None
        return chunk.size

    def unwant(self, digest: Digest, child: Child) -> None:
        """`child` does not want the chunk any more, or has been sent all of it."""
        chunk = self._chunks.get(digest)
        if chunk is None:
            return
        chunk.wanters.pop(child, 0)
        if not chunk.wanters:
            del self._chunks[digest]
            self._to_raise.pop(digest, 0)
            if digest in self._to_find:
                del self._to_find[digest]
            elif chunk.size is None:
                self._to_forget[digest] = (chunk.job, *chunk.further)

    def sent_whole(self, digests: Iterable[Digest], child: Child) -> None:
        """`child` was sent all of these, which are at hand: `unwant` for many at once."""
        chunks = self._chunks
        for digest in digests:
            wanters = chunks[digest].wanters
            del wanters[child]
            if not wanters:
                del chunks[digest]

    def found(self, digest: Digest, size: int) -> Chunk | None:
        """The chunk is at hand; None if nobody wants it or it was known."""
        chunk = self._chunks.get(digest)
        if chunk is None or chunk.size == size:
            return None
        chunk.size = size
        self._to_find.pop(digest, 0)
        self._to_raise.pop(digest, 0)
        return chunk

    def absent(self, digest: Digest) -> tuple[Child, ...]:
        """Nobody above has the chunk: who wanted it (they are told, and it is forgotten)."""
        chunk = self._chunks.pop(digest, None)
        if chunk is None:
            return ()
        self._to_find.pop(digest, 0)
        self._to_raise.pop(digest, 0)
        return tuple(chunk.wanters)

    def doubt(self, digest: Digest) -> Chunk | None:
        """A frame with the chunk could not be read or published: look for it again, if somebody wants it."""
        chunk = self._chunks.get(digest)
        if chunk is not None and chunk.size is not None:
            chunk.size = None
            self._to_find[digest] = chunk.job
            if chunk.further:
                self._to_raise[digest] = chunk.further
        return chunk

    def take_questions(self) -> tuple[dict[Job, list[Digest]], tuple[Digest, ...]]:
        """(digests to find, by job; digests to forget) since the last call."""
        find: dict[Job, list[Digest]] = {}
        if not self._to_find and not self._to_raise and not self._to_forget:
            return find, ()
        for digest, job in self._to_find.items():
            find.setdefault(job, []).append(digest)
        for digest, jobs in self._to_raise.items():
            for job in jobs:
                find.setdefault(job, []).append(digest)
        self._to_find.clear()
        self._to_raise.clear()
        forget = tuple(self._to_forget)
        self._to_forget.clear()
        return find, forget
