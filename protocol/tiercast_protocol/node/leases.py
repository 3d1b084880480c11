"""Who relies on which chunks: what must not be let go, and for which reason.

Rules
- A lease is a reason and chunks; it is counted, so that two holders of the same chunk may end in any order.
- What changes by itself (what children were told) is asked at the moment of the decision, and not copied.
- No clock, no disk: whoever takes a lease gives it back, and all end with the process.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from tiercast_protocol.content.sealed.digest import Digest

#: Why a chunk may not go, in the words that people read.
ORDER = "an open order"
PIN = "a pin"
KEEP = "kept for a time"
READ = "a running read"
WORK = "work that is not finished"
CHILD = "told to a child"
#: The reasons, the strongest first: what several rely on is shown under the first.
REASONS = (ORDER, PIN, KEEP, WORK, CHILD, READ)


class Leases:
    """The leases of one store."""

    def __init__(self) -> None:
        self._held: dict[Digest, Counter[str]] = {}
        self._asked: list[tuple[str, Callable[[Digest], bool]]] = []

    def watch(self, reason: str, relies: Callable[[Digest], bool]) -> None:
        """Ask `relies(digest)` whenever it matters; it must be cheap."""
        self._asked.append((reason, relies))

    def take(self, reason: str, digests: Iterable[Digest]) -> None:
        """These are relied on once more for `reason`."""
        for digest in digests:
            self._held.setdefault(digest, Counter())[reason] += 1

    def give_back(self, reason: str, digests: Iterable[Digest]) -> None:
        """Undo one `take` of these.

        Raises:
            ValueError: nobody took one of them for that reason.
        """
        for digest in digests:
            counts = self._held.get(digest)
            if counts is None or not counts[reason]:
                raise ValueError(f"no lease on {digest.hex()[:16]} for {reason}")
            counts[reason] -= 1
            if not counts[reason]:
                del counts[reason]
            if not counts:
                del self._held[digest]

    def free(self, digests: Iterable[Digest]) -> list[Digest]:
        """Those of `digests` that nobody relies on, each once."""
        if not self._held and not self._asked:
            return list(dict.fromkeys(digests))
        return [digest for digest in dict.fromkeys(digests) if digest not in self]

    @contextmanager
    def held(self, reason: str, digests: Iterable[Digest]) -> Iterator[None]:
        """A lease for as long as the context."""
        leased = list(digests)
        self.take(reason, leased)
        try:
            yield
        finally:
            self.give_back(reason, leased)

    def reason(self, digest: Digest) -> str:
        """Why the chunk may not go; "" when nobody relies on it."""
        found = set(self._held.get(digest, ()))
        found.update(reason for reason, relies in self._asked if relies(digest))
        return next((reason for reason in REASONS if reason in found), min(found, default=""))

    def __contains__(self, digest: Digest) -> bool:
        return digest in self._held or any(relies(digest) for _, relies in self._asked)
