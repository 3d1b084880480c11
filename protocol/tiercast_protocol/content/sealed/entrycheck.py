"""What the entries of one list must keep: paths, order, files below files, links, ranges and sums.

Rules
- The first broken rule is told with the path that breaks it; nothing is mended.
- A file ends where its size says.  Only the last of a list may go on in the next, and only the first may go on
  from the one before.
"""

from __future__ import annotations

from collections.abc import Sequence

from tiercast_protocol.content.sealed.chunk import MAX_RAW
from tiercast_protocol.content.sealed.digest import DIGEST_SIZE, EMPTY
from tiercast_protocol.content.sealed.entry import Entry, Kind
from tiercast_protocol.content.sealed.paths import check_path, check_target, order_key
from tiercast_protocol.errors import MessageInvalid

MAX_MODE = 0o7777
#: Largest file, so that sums stay within what every reader's integers hold.
MAX_FILE = 1 << 50


def check_entries(entries: Sequence[Entry]) -> None:
    """Refuse entries that can't be one list.

    Raises:
        MessageInvalid: the first that breaks a rule, and which (a ProtocolError).
    """
    if not entries:
        raise _invalid("a list without entries")
    before: Entry | None = None
    for n, entry in enumerate(entries):
        check_path(entry.path)
        if before is not None:
            if order_key(before.path) >= order_key(entry.path):
                raise _invalid(f"{entry.path[:80]!r} stands twice or in the wrong place")
            if before.kind is not Kind.FOLDER and entry.path.startswith(before.path + "/"):
                raise _invalid(f"{entry.path[:80]!r} is below what is no folder")
        before = entry
        if not 0 <= entry.mode <= MAX_MODE:
            raise _invalid(f"{entry.path[:80]!r} has mode {entry.mode:o}")
        if entry.kind is Kind.LINK:
            check_target(entry.path, entry.target)
        elif entry.kind is Kind.FILE:
            _check_file(entry, first=n == 0, last=n == len(entries) - 1)


def _check_file(entry: Entry, *, first: bool, last: bool) -> None:
    name = repr(entry.path[:80])
    for part in entry.parts:
        if len(part.digest) != DIGEST_SIZE or part.offset < 0 or part.length < 1 or part.offset + part.length > MAX_RAW:
            raise _invalid(f"{name} has a part outside its chunk")
    if entry.start < 0 or (entry.start and not first) or (entry.start and not entry.parts):
        raise _invalid(f"{name} goes on where nothing began")
    if entry.more:
        if not last or not entry.parts or entry.end > MAX_FILE:
            raise _invalid(f"{name} does not go on")
        return
    if len(entry.digest) != DIGEST_SIZE or not 0 <= entry.size <= MAX_FILE:
        raise _invalid(f"{name} has no digest or no possible size")
    if entry.end != entry.size:
        raise _invalid(f"{name} is {entry.size} bytes and its parts end at {entry.end}")
    if entry.size == 0 and entry.digest != EMPTY:
        raise _invalid(f"{name} is empty and its digest is not")


def _invalid(reason: str) -> MessageInvalid:
    return MessageInvalid(reason, "manifest")
