"""What stands in the install root, and where its files serve as chunks: the other half of the agent's database.

Rules
- `tree`: every whole tree, written down once it is synced and has its place.  `installed`: what each name leads to.
- A tree that is not `whole` is in the making, or was not wanted in the end: nothing leads to it, its files are sources.
- `source`: for each chunk, which bytes of it lie where in which file; a hint, for what is read is proved.
- Forgotten before deleted, written down as whole after made: such a row never names what may be half there.
- Units of work are plain functions of a connection.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass

from tiercast_protocol.transfer.ranges import RangeSet

SCHEMA = """
CREATE TABLE installed (
    package TEXT PRIMARY KEY,
    version TEXT NOT NULL,
    revision INTEGER NOT NULL,
    root BLOB NOT NULL,
    tree TEXT NOT NULL,
    previous TEXT NOT NULL DEFAULT '',
    job TEXT NOT NULL,
    at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE tree (
    id INTEGER PRIMARY KEY,
    tree TEXT NOT NULL UNIQUE,
    package TEXT NOT NULL,
    version TEXT NOT NULL,
    revision INTEGER NOT NULL,
    root BLOB NOT NULL,
    files INTEGER NOT NULL,
    size INTEGER NOT NULL
);
CREATE TABLE source (
    digest BLOB NOT NULL,
    at INTEGER NOT NULL,
    length INTEGER NOT NULL,
    tree INTEGER NOT NULL,
    path TEXT NOT NULL,
    offset INTEGER NOT NULL
);
CREATE INDEX source_digest ON source (digest, at);
CREATE INDEX source_tree ON source (tree);
"""
#: Trees that were found to differ from what was sealed.
DIFFERS = "CREATE TABLE differs (tree TEXT PRIMARY KEY) WITHOUT ROWID;"
PARTIAL = "ALTER TABLE tree ADD COLUMN whole INTEGER NOT NULL DEFAULT 1;"


@dataclass(frozen=True, slots=True)
class Installed:
    """A package that is installed; `previous` is the tree kept for undo, or ""."""

    package: str
    version: str
    revision: int
    root: bytes
    tree: str
    previous: str
    job: str
    at: int


@dataclass(frozen=True, slots=True)
class Tree:
    """A whole tree that stands in the install root."""

    tree: str
    package: str
    version: str
    revision: int
    root: bytes
    files: int
    size: int


@dataclass(frozen=True, slots=True)
class Source:
    """`length` bytes at `at` of a chunk, found at `offset` of the file `path` of `tree`."""

    at: int
    length: int
    tree: str
    path: str
    offset: int


# -- trees and packages --------------------------------------------------------------------------------


def add_tree(connection: sqlite3.Connection, tree: Tree) -> None:
    """Write down that the tree stands, whole and synced."""
    connection.execute(
        "INSERT INTO tree (tree, package, version, revision, root, files, size) VALUES (?,?,?,?,?,?,?)"
        " ON CONFLICT (tree) DO UPDATE SET root=excluded.root, files=excluded.files, size=excluded.size",
        (tree.tree, tree.package, tree.version, tree.revision, tree.root, tree.files, tree.size),
    )


def remove_tree(connection: sqlite3.Connection, tree: str) -> None:
    """Forget the tree and its sources: before its files go, so that nobody reads from what is going."""
    connection.execute("DELETE FROM source WHERE tree=(SELECT id FROM tree WHERE tree=?)", (tree,))
    connection.execute("DELETE FROM tree WHERE tree=?", (tree,))


def trees(connection: sqlite3.Connection, package: str = "") -> list[Tree]:
    """All whole trees, or those of one package, oldest first."""
    return _trees(connection, package, whole=True)


def partial_trees(connection: sqlite3.Connection, package: str = "") -> list[Tree]:
    """All that are not whole, or those of one package, oldest first."""
    return _trees(connection, package, whole=False)


def _trees(connection: sqlite3.Connection, package: str, *, whole: bool) -> list[Tree]:
    query = "SELECT tree, package, version, revision, root, files, size FROM tree WHERE whole=?"
    rows = connection.execute(
        query + (" AND package=? ORDER BY id" if package else " ORDER BY id"), (whole, package) if package else (whole,)
    )
    return [Tree(*row) for row in rows]


def begin_tree(connection: sqlite3.Connection, tree: Tree) -> None:
    """Write down that a tree is in the making; known already is fine."""
    connection.execute(
        "INSERT INTO tree (tree, package, version, revision, root, files, size, whole) VALUES (?,?,?,?,?,?,?,0)"
        " ON CONFLICT (tree) DO NOTHING",
        (tree.tree, tree.package, tree.version, tree.revision, tree.root, tree.files, tree.size),
    )


def move_tree(connection: sqlite3.Connection, tree: str, to: str, *, whole: bool) -> None:
    """The folder of `tree` was renamed; its sources go with it.  An older row of that name is gone."""
    if tree != to:
        remove_tree(connection, to)
    connection.execute("UPDATE tree SET tree=?, whole=? WHERE tree=?", (to, whole, tree))


def placed_parts(connection: sqlite3.Connection, tree: str) -> dict[str, RangeSet]:
    """Which bytes of which files of the tree are known as sources."""
    found: dict[str, RangeSet] = {}
    rows = connection.execute(
        "SELECT path, offset, length FROM source WHERE tree=(SELECT id FROM tree WHERE tree=?)", (tree,)
    )
    for path, offset, length in rows:
        found.setdefault(path, RangeSet()).add(offset, offset + length)
    return found


def set_installed(connection: sqlite3.Connection, installed: Installed) -> None:
    """Write down what the package's name leads to."""
    connection.execute(
        "INSERT OR REPLACE INTO installed VALUES (?,?,?,?,?,?,?,?)",
        (
            *(installed.package, installed.version, installed.revision, installed.root, installed.tree),
            *(installed.previous, installed.job, installed.at),
        ),
    )


def unset_installed(connection: sqlite3.Connection, package: str) -> None:
    """The package is not installed any more."""
    connection.execute("DELETE FROM installed WHERE package=?", (package,))


def installed(connection: sqlite3.Connection, package: str = "") -> list[Installed]:
    """What is installed, by name."""
    query = "SELECT package, version, revision, root, tree, previous, job, at FROM installed"
    rows = connection.execute(
        query + (" WHERE package=?" if package else " ORDER BY package"), (package,) if package else ()
    )
    return [Installed(*row) for row in rows]


# -- chunks in installed files -------------------------------------------------------------------------


def has_sources(connection: sqlite3.Connection, tree: str) -> bool:
    """Whether any row of the index names the tree."""
    query = "SELECT 1 FROM source WHERE tree=(SELECT id FROM tree WHERE tree=?) LIMIT 1"
    return connection.execute(query, (tree,)).fetchone() is not None


def drop_parts(connection: sqlite3.Connection, tree: str, rows: Iterable[tuple[bytes, int, int, str, int]]) -> None:
    """Forget these rows (as of `add_sources`) of the tree."""
    row = connection.execute("SELECT id FROM tree WHERE tree=?", (tree,)).fetchone()
    if row is not None:
        connection.executemany(
            "DELETE FROM source INDEXED BY source_digest WHERE digest=? AND at=? AND tree=? AND path=?",
            ((digest, at, row[0], path) for digest, at, _, path, _ in rows),
        )


def add_sources(connection: sqlite3.Connection, tree: str, rows: Iterable[tuple[bytes, int, int, str, int]]) -> None:
    """Rows of (digest, at, length, path, offset) for a tree that is written down."""
    row = connection.execute("SELECT id FROM tree WHERE tree=?", (tree,)).fetchone()
    if row is not None:
        connection.executemany(
            "INSERT INTO source (digest, at, length, path, offset, tree) VALUES (?,?,?,?,?,?)",
            ((*source, row[0]) for source in rows),
        )


def sources_of(connection: sqlite3.Connection, digest: bytes) -> list[Source]:
    """Where bytes of the chunk lie, by their place in it."""
    rows = connection.execute(
        "SELECT s.at, s.length, t.tree, s.path, s.offset FROM source s JOIN tree t ON t.id = s.tree"
        " WHERE s.digest=? ORDER BY s.at, s.length DESC",
        (digest,),
    )
    return [Source(*row) for row in rows]


def drop_source(connection: sqlite3.Connection, digest: bytes) -> None:
    """The files no longer hold this chunk: somebody changed them."""
    connection.execute("DELETE FROM source WHERE digest=?", (digest,))


def known_sources(connection: sqlite3.Connection, digests: Iterable[bytes]) -> set[bytes]:
    """Those of `digests` that have any source."""
    query = "SELECT 1 FROM source WHERE digest=? LIMIT 1"
    return {digest for digest in digests if connection.execute(query, (digest,)).fetchone()}


def source_lengths(connection: sqlite3.Connection, digests: Iterable[bytes]) -> dict[bytes, int]:
    """Those of `digests` that have any source, with the end of what of them lies in files."""
    query = "SELECT max(at + length) FROM source WHERE digest=?"
    rows = ((digest, connection.execute(query, (digest,)).fetchone()[0]) for digest in digests)
    return {digest: end for digest, end in rows if end is not None}


def set_differs(connection: sqlite3.Connection, tree: str, *, differs: bool) -> bool:
    """Whether the tree was found to differ; gives whether that is news."""
    before = tree in damaged(connection)
    connection.execute("DELETE FROM differs WHERE tree=? OR tree NOT IN (SELECT tree FROM tree)", (tree,))
    if differs:
        connection.execute("INSERT INTO differs VALUES (?)", (tree,))
    return before is not differs


def damaged(connection: sqlite3.Connection) -> set[str]:
    """The trees that were found to differ."""
    return {tree for (tree,) in connection.execute("SELECT tree FROM differs")}
