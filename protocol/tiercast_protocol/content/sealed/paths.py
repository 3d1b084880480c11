"""Paths and links of a package's tree, judged by their text alone.

Rules
- A path is relative, of parts joined by "/", in UTF-8; no part is empty, "." or ".." or holds NUL.
- The order of a tree is the order of its paths' parts as bytes, so a folder is followed by all that is
  in it, and whoever reads in this order sees each folder before its content.
- A link climbs first ("../") and then only descends.  Above a link there are real folders alone
  (`tree.TreeCheck` sees to it), so climbing is exact; descending through other links keeps inside, because they obey
  the same rule.  "a/../b" would be read by its text here and by what "a" is there, so it is refused.
- Disks that take capitals and small letters for one take the two ways to write an accent for one, too: `folded`.
"""

from __future__ import annotations

import unicodedata

from tiercast_protocol.errors import MessageInvalid

#: Most bytes of a path, and of a link's target (PATH_MAX with its NUL).
MAX_PATH = 4096
#: Most bytes of one part (NAME_MAX).
MAX_PART = 255


def _refuse(path: str, reason: str) -> MessageInvalid:
    return MessageInvalid(f"path {path[:80]!r}: {reason}", "manifest")


def folded(path: str) -> str:
    """What a disk without regard to case compares: two paths that are folded alike are one there."""
    if path.isascii():
        return path.lower()
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", path).casefold())


def check_path(path: str) -> None:
    """Refuse what can't be the path of an entry.

    Raises:
        MessageInvalid: why, with the path (a ProtocolError).
    """
    try:
        size = len(path.encode())
    except UnicodeEncodeError as error:
        raise _refuse(path, "not UTF-8") from error
    if size > MAX_PATH:
        raise _refuse(path, f"{size} bytes are more than {MAX_PATH}")
    if "\0" in path:
        raise _refuse(path, "holds NUL")
    if path.startswith("/"):
        raise _refuse(path, "absolute")
    for part in path.split("/"):
        if part in {"", ".", ".."}:
            raise _refuse(path, f"a part is {part!r}")
        if len(part) > MAX_PART // 4 and len(part.encode()) > MAX_PART:
            raise _refuse(path, f"a part is longer than {MAX_PART} bytes")


def check_target(path: str, target: str) -> None:
    """Refuse a link at `path` to `target` that could leave the tree.

    Raises:
        MessageInvalid: why, with the path (a ProtocolError).
    """
    try:
        size = len(target.encode())
    except UnicodeEncodeError as error:
        raise _refuse(path, "its target is not UTF-8") from error
    if not 0 < size < MAX_PATH or "\0" in target:
        raise _refuse(path, "its target is empty, too long or holds NUL")
    if target.startswith("/"):
        raise _refuse(path, f"links to {target[:80]!r}, which is absolute")
    depth, descended = path.count("/"), False
    for part in target.split("/"):
        if part in {"", "."}:
            continue
        if part != "..":
            descended = True
        elif descended:
            raise _refuse(path, f"links to {target[:80]!r}, which climbs after it descended")
        elif depth == 0:
            raise _refuse(path, f"links to {target[:80]!r}, which leaves the tree")
        else:
            depth -= 1


def order_key(path: str) -> bytes:
    """Sorts paths into tree order (NUL is in no path, and is less than all that is)."""
    return path.encode().replace(b"/", b"\0")


def folder_of(path: str) -> str:
    """The path of the folder that `path` stands in; "" for the top."""
    return path.rpartition("/")[0]
