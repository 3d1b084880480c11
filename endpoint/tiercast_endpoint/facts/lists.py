"""The list of software that this machine told of last, and the step to it from the one before.

Rules (docs/protocol.md, section 13)
- It is written in the transaction that writes the word which names it, so that word and list are of one moment.
- The difference goes with that word; the whole list goes first of all, and to whoever asks for it.
- Functions of a connection, to be run as units of `Database`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from sqlite3 import Connection

from tiercast_protocol.content.facts import software
from tiercast_protocol.errors import MessageInvalid
from tiercast_protocol.wire.facts import SoftwareList

SCHEMA = """
CREATE TABLE software_list (
    one INTEGER PRIMARY KEY, digest BLOB NOT NULL, data BLOB NOT NULL, base BLOB NOT NULL, change BLOB NOT NULL);
"""


@dataclass(frozen=True, slots=True)
class Listed:
    """One list: its digest, packed; with `base` the packed difference from that list."""

    digest: bytes = software.NONE
    data: bytes = b""
    base: bytes = software.NONE
    change: bytes = b""

    def whole(self) -> list[SoftwareList]:
        """As it is told to who holds nothing."""
        return [SoftwareList(digest=self.digest, data=self.data)] if self.digest else []

    def news(self) -> list[SoftwareList]:
        """As it is told to who holds the one before."""
        return [SoftwareList(digest=self.digest, data=self.change, base=self.base)] if self.base else self.whole()


def after(held: Listed, found: Mapping[str, str]) -> Listed:
    """The list of what was `found`; `held` where that is the same.  Blocking (CPU)."""
    if not found:
        return Listed()
    digest, data = software.packed(found)
    if digest == held.digest:
        return held
    if not held.digest:
        return Listed(digest, data)
    try:
        change = software.difference(software.unpacked(held.digest, held.data), found)
    except MessageInvalid:  # of a damaged disk, or another version
        return Listed(digest, data)
    return Listed(digest, data, held.digest, change) if len(change) < len(data) else Listed(digest, data)


def load(connection: Connection) -> Listed:
    """The list that was told last."""
    row = connection.execute("SELECT digest, data, base, change FROM software_list").fetchone()
    return Listed(*row) if row is not None else Listed()


def keep(connection: Connection, listed: Listed) -> None:
    """It is told now."""
    row = (listed.digest, listed.data, listed.base, listed.change)
    connection.execute("INSERT OR REPLACE INTO software_list VALUES (1, ?, ?, ?, ?)", row)
