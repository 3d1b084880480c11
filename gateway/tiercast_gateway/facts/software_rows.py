"""Lists of software as rows: one for the many machines that have it (docs/protocol.md, section 13).

Rules
- Functions of a connection, to be run as units of `Database`.
- A list is kept while a machine below names it.  It is told upward once; what made it of another one is kept beside
  it, and goes instead where that other one was told.
- Only what a machine below names is taken: a list that nobody names would be anybody's to store here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from sqlite3 import Connection

from tiercast_protocol.content.facts import software
from tiercast_protocol.errors import MessageInvalid
from tiercast_protocol.wire.facts import SoftwareList

SCHEMA = """
ALTER TABLE inventories ADD COLUMN software BLOB NOT NULL DEFAULT x'';
CREATE INDEX inventories_software ON inventories(software);
CREATE TABLE software_lists(
    n INTEGER PRIMARY KEY, digest BLOB NOT NULL UNIQUE, data BLOB NOT NULL, base BLOB NOT NULL, change BLOB NOT NULL,
    told INTEGER NOT NULL DEFAULT 0);
CREATE INDEX software_lists_untold ON software_lists(told) WHERE told = 0;
"""
_PART = 500
Row = tuple[bytes, bytes, bytes, bytes]


def held(c: Connection, digests: Collection[bytes]) -> dict[bytes, bytes]:
    """Of these lists those that are here, packed."""
    found: dict[bytes, bytes] = {}
    names = sorted(digests)
    for at in range(0, len(names), _PART):
        some = names[at : at + _PART]
        query = f"SELECT digest, data FROM software_lists WHERE digest IN ({','.join('?' * len(some))})"  # noqa: S608 - question marks
        found.update(c.execute(query, some).fetchall())
    return found


def named(c: Connection, digests: Collection[bytes]) -> set[bytes]:
    """Of these lists those that a machine below names."""
    query = "SELECT 1 FROM inventories WHERE software = ? LIMIT 1"
    return {digest for digest in digests if c.execute(query, (digest,)).fetchone() is not None}


def of_nodes(c: Connection, nodes: Sequence[str]) -> dict[str, tuple[bytes, bytes]]:
    """By node its list: digest, and packed.  Without those whose list is not here."""
    found: dict[str, tuple[bytes, bytes]] = {}
    for at in range(0, len(nodes), _PART):
        some = list(nodes[at : at + _PART])
        query = (
            "SELECT i.node, l.digest, l.data FROM inventories i JOIN software_lists l ON l.digest = i.software"  # noqa: S608 - question marks
            f" WHERE i.node IN ({','.join('?' * len(some))})"
        )
        found.update((node, (digest, data)) for node, digest, data in c.execute(query, some))
    return found


def made(given: Iterable[SoftwareList], bases: dict[bytes, bytes]) -> tuple[list[Row], list[str]]:
    """Rows of what was given, each proved by its digest, and what is wrong with the rest.  Blocking (CPU).

    Args:
        given: as they came, each perhaps the base of a later one.
        bases: the packed lists that are here, of those that are named as bases.
    """
    rows: list[Row] = []
    wrong: list[str] = []
    known = dict(bases)
    for one in given:
        try:
            if not one.base:
                software.unpacked(one.digest, one.data)
                rows.append((one.digest, one.data, b"", b""))
                known[one.digest] = one.data
            elif one.base in known:
                result = software.applied(software.unpacked(one.base, known[one.base]), one.data, one.digest)
                known[one.digest] = software.packed(result)[1]
                rows.append((one.digest, known[one.digest], one.base, one.data))
        except MessageInvalid as error:
            wrong.append(str(error))
    return rows, wrong


def keep(c: Connection, rows: Iterable[Row]) -> None:
    """Write them; those that are here stay as they are."""
    c.executemany("INSERT OR IGNORE INTO software_lists(digest, data, base, change) VALUES (?, ?, ?, ?)", rows)


def lacking(c: Connection, nodes: Collection[str]) -> dict[bytes, str]:
    """The lists that these name and that are not here, each with one who names it."""
    query = "SELECT software FROM inventories i WHERE node = ? AND software != x''"
    query += " AND NOT EXISTS (SELECT 1 FROM software_lists l WHERE l.digest = i.software)"
    found: dict[bytes, str] = {}
    for node in nodes:
        row = c.execute(query, (node,)).fetchone()
        if row is not None:
            found[row[0]] = node
    return found


def who_names(c: Connection, digests: Collection[bytes]) -> dict[bytes, str]:
    """One machine below for each of these lists, as far as there is one."""
    found: dict[bytes, str] = {}
    for digest in digests:
        row = c.execute("SELECT node FROM inventories WHERE software = ? LIMIT 1", (digest,)).fetchone()
        if row is not None:
            found[digest] = row[0]
    return found


def untold(c: Connection, most: int) -> tuple[list[SoftwareList], bool]:
    """As many as fit into `most` bytes, as they are told upward, and whether there are more."""
    found: list[SoftwareList] = []
    with_it: set[bytes] = set()
    size = 0
    for digest, data, base, change in c.execute(
        "SELECT digest, data, base, change FROM software_lists WHERE told = 0 ORDER BY n"
    ):
        known = base and (base in with_it or _told(c, base))
        one = SoftwareList(digest=digest, data=change, base=base) if known else SoftwareList(digest=digest, data=data)
        size += len(one.data) + 100
        if found and size > most:
            return found, True
        found.append(one)
        with_it.add(digest)
    return found, False


def _told(c: Connection, digest: bytes) -> bool:
    row = c.execute("SELECT 1 FROM software_lists WHERE digest = ? AND told = 1", (digest,)).fetchone()
    return row is not None


def told(c: Connection, lists: Iterable[SoftwareList]) -> None:
    """These are in the outbox upward."""
    c.executemany("UPDATE software_lists SET told = 1 WHERE digest = ?", [(one.digest,) for one in lists])


def tell_whole(c: Connection, digests: Iterable[bytes]) -> None:
    """Tell these upward once more, and whole: whoever is there does not hold what they were made of."""
    rows = [(digest,) for digest in digests]
    c.executemany("UPDATE software_lists SET told = 0, base = x'', change = x'' WHERE digest = ?", rows)


def sweep(c: Connection) -> int:
    """Forget the lists that no machine below names; how many."""
    return c.execute(
        "DELETE FROM software_lists WHERE told = 1 AND digest NOT IN (SELECT software FROM inventories)"
    ).rowcount
