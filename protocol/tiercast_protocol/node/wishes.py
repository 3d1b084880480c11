"""Who wants which chunks of the parent: standing wants, and calls that wait.

Rules
- A chunk is asked for once per job, however many want it, and dropped when the last of them does not want it any more.
- A call waits for chunks until the store has them all; its cancellation takes back only what it alone wanted.
- What is asked for is known here and nowhere else, so a call that is cancelled half-way leaves nothing that
  others rely on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Container, Iterable, Sequence

from tiercast_protocol.errors import TiercastError

Digest = bytes


class _Call:
    """One call of `fetch` and what it still waits for."""

    __slots__ = ("done", "left")

    def __init__(self, done: asyncio.Future[None]) -> None:
        self.left: set[Digest] = set()
        self.done = done


class Wishes:
    """Wants and waiting calls of one node.

    Args:
        held: those of some chunks that the store holds.
        ask: ask the parent for these, for a job; again if another job wants them too.
        drop: tell the parent that these are not wanted any more.
    """

    def __init__(
        self,
        held: Callable[[Sequence[Digest]], Container[Digest]],
        ask: Callable[[tuple[Digest, ...], str], None],
        drop: Callable[[tuple[Digest, ...]], None],
    ) -> None:
        self._held, self._ask, self._drop = held, ask, drop
        self._wanted: set[Digest] = set()
        self._calls: dict[Digest, list[_Call]] = {}
        #: For which job each was asked last.
        self._asked: dict[Digest, str] = {}

    def still(self, digests: Iterable[Digest]) -> dict[str, tuple[Digest, ...]]:
        """Those of `digests` that are asked for and not here yet, by the job that asked last."""
        found: dict[str, tuple[Digest, ...]] = {}
        for digest in digests:
            if (job := self._asked.get(digest)) is not None:
                found[job] = (*found.get(job, ()), digest)
        return found

    def want(self, digests: Sequence[Digest], job: str = "") -> None:
        """Want these until they are here, given up, or not wanted any more."""
        self._wanted.update(digests)
        self._ask_for(digests, job)

    def unwant(self, digests: Sequence[Digest]) -> None:
        """Take a `want` back; calls that wait go on."""
        self._wanted.difference_update(digests)
        self._drop_unneeded(digests)

    async def fetch(self, digests: Sequence[Digest], job: str = "") -> None:
        """Wait until the store has all of these, wanted for `job`.

        Raises:
            TiercastError: what `failed` was given for one of them.
        """
        call = _Call(asyncio.get_running_loop().create_future())
        try:
            held = self._held(digests)
            missing = [digest for digest in dict.fromkeys(digests) if digest not in held]
            call.left.update(missing)
            for digest in missing:
                self._calls.setdefault(digest, []).append(call)
            self._ask_for(missing, job)
            if call.left or call.done.done():
                await call.done
        finally:
            call.done.cancel()
            for digest in call.left:
                calls = self._calls.get(digest, [])
                if call in calls:
                    calls.remove(call)
                if not calls:
                    self._calls.pop(digest, None)
            self._drop_unneeded(list(call.left))

    def arrived(self, digest: Digest) -> None:
        """The store has the chunk."""
        self._settle(digest)
        for call in self._calls.pop(digest, ()):
            call.left.discard(digest)
            if not call.left and not call.done.done():
                call.done.set_result(None)

    def failed(self, digest: Digest, error: TiercastError) -> None:
        """The chunk can't be had; every call that waits for it raises `error`."""
        self._settle(digest)
        for call in self._calls.pop(digest, ()):
            if not call.done.done():
                call.done.set_exception(error)

    def _settle(self, digest: Digest) -> None:
        self._wanted.discard(digest)
        self._asked.pop(digest, "")

    def _ask_for(self, digests: Sequence[Digest], job: str) -> None:
        asked = self._asked
        new = tuple(d for d in dict.fromkeys(digests) if d not in asked or (job and asked[d] != job))
        if new:
            asked.update(dict.fromkeys(new, job))
            self._ask(new, job)

    def _drop_unneeded(self, digests: Sequence[Digest]) -> None:
        gone = tuple(d for d in digests if d in self._asked and d not in self._wanted and d not in self._calls)
        if gone:
            for digest in gone:
                del self._asked[digest]
            self._drop(gone)
