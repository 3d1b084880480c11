"""The stored forms that were verified last: what passes through is neither read nor hashed again.

Rules
- Bounded in bytes; the one that was not asked for longest goes first.
"""

from __future__ import annotations

from collections import OrderedDict

from tiercast_protocol.content.sealed.digest import Digest


class Recent:
    """At most `limit` bytes of stored forms."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._kept: OrderedDict[Digest, bytes] = OrderedDict()
        self.bytes = 0

    def get(self, digest: Digest) -> bytes | None:
        """The stored form, if it is kept."""
        stored = self._kept.get(digest)
        if stored is not None:
            self._kept.move_to_end(digest)
        return stored

    def keep(self, digest: Digest, stored: bytes) -> None:
        """Keep this one, and let the oldest go for it."""
        self.drop(digest)
        self._kept[digest] = stored
        self.bytes += len(stored)
        while self.bytes > self.limit:
            _, oldest = self._kept.popitem(last=False)
            self.bytes -= len(oldest)

    def drop(self, digest: Digest) -> None:
        """Let this one go, if it is kept."""
        self.bytes -= len(self._kept.pop(digest, b""))

    def clear(self) -> None:
        """Let all go."""
        self._kept.clear()
        self.bytes = 0
