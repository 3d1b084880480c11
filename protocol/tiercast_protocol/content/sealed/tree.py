"""The rules of a whole tree, checked while its lists stream by.

Rules
- Memory is that of one path, however large the tree is.
- Every entry stands in a folder that has an entry of its own, before it.  So nothing can stand below a file
  or behind a link, and a link's way up is through real folders (`paths`).
- A file that goes on in the next list goes on there, at once and where it stopped.
- At the end the counts are the root's.
"""

from __future__ import annotations

from collections.abc import Iterable

from tiercast_protocol.content.sealed.entry import Entry, Kind
from tiercast_protocol.content.sealed.paths import folder_of, order_key
from tiercast_protocol.errors import MessageInvalid


class TreeCheck:
    """Takes the entries of all lists in order; each list has passed `decode_list`."""

    def __init__(self) -> None:
        self.files = 0
        self.size = 0
        self._last: Entry | None = None
        #: The folders that are open: the path of the last entry, down to its folder.
        self._open: list[str] = [""]

    def add(self, entries: Iterable[Entry]) -> None:
        """Take the next list.

        Raises:
            MessageInvalid: an entry that can't follow those before (a ProtocolError).
        """
        for entry in entries:
            self._add(entry)
            self._last = entry

    def finish(self, *, files: int, size: int) -> None:
        """No list follows; `files` and `size` are what the root says.

        Raises:
            MessageInvalid: the last file has no end, or the counts differ (a ProtocolError).
        """
        if self._last is not None and self._last.more:
            raise _invalid(f"{self._last.path[:80]!r} has no end")
        if (self.files, self.size) != (files, size):
            raise _invalid(f"{self.files} files of {self.size} bytes, and the root says {files} of {size}")

    def _add(self, entry: Entry) -> None:
        last = self._last
        if last is not None and last.more:
            if (last.path, last.kind, last.mode, last.end) != (entry.path, entry.kind, entry.mode, entry.start):
                raise _invalid(f"{last.path[:80]!r} does not go on")
            self.size += entry.size
            return
        if entry.start:
            raise _invalid(f"{entry.path[:80]!r} goes on where nothing began")
        if last is not None and order_key(last.path) >= order_key(entry.path):
            raise _invalid(f"{entry.path[:80]!r} stands twice or in the wrong place")
        folder = folder_of(entry.path)
        while self._open and self._open[-1] != folder:
            self._open.pop()
        if not self._open:
            raise _invalid(f"{entry.path[:80]!r} stands in no folder of the tree")
        if entry.kind is Kind.FOLDER:
            self._open.append(entry.path)
        elif entry.kind is Kind.FILE:
            self.files += 1
            self.size += entry.size


def _invalid(reason: str) -> MessageInvalid:
    return MessageInvalid(reason, "manifest")
