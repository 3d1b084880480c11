"""Trees, packages and sources: rows as they were written."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tiercast_endpoint.trees import holdings as h


@pytest.fixture
def db() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:")
    connection.executescript(h.SCHEMA + h.PARTIAL)
    yield connection
    connection.close()


def test_trees_packages_and_sources(db: sqlite3.Connection) -> None:
    tree = h.Tree(".trees/a/1", "a", "1", 1, b"r", 2, 3)
    h.add_tree(db, tree)
    h.add_tree(db, replace(tree, files=9))
    assert h.trees(db, "a") == [replace(tree, files=9)]
    assert h.trees(db, "b") == []
    one = h.Installed("a", "1", 1, b"r", tree.tree, "", "j1", 4)
    h.set_installed(db, one)
    h.set_installed(db, replace(one, version="2"))
    assert [i.version for i in h.installed(db)] == ["2"]
    assert not h.has_sources(db, tree.tree)
    h.add_sources(db, tree.tree, [(b"d", 3, 4, "f", 0), (b"d", 0, 3, "g", 1), (b"e", 0, 1, "f", 9)])
    h.add_sources(db, ".trees/unknown", [(b"x", 0, 1, "f", 0)])
    assert (h.has_sources(db, tree.tree), h.has_sources(db, ".trees/unknown")) == (True, False)
    assert [s.path for s in h.sources_of(db, b"d")] == ["g", "f"]
    assert h.known_sources(db, [b"d", b"e", b"x"]) == {b"d", b"e"}
    h.drop_source(db, b"e")
    assert h.known_sources(db, [b"e"]) == set()
    h.remove_tree(db, tree.tree)
    assert h.sources_of(db, b"d") == []
    assert h.trees(db) == []
    h.unset_installed(db, "a")
    assert h.installed(db, "a") == []
