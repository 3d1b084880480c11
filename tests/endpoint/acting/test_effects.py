"""The journal of actions, and who owns what."""

from __future__ import annotations

import sqlite3

from tiercast_endpoint.acting import effects as e
from tiercast_endpoint.acting.changes import Change
from tiercast_endpoint.acting.prefix import FILE, Image

OLD = e.Acted("app", "path:/a", 0, "[1]", "t1", {"there": True})
BEFORE = e.Owned("/a", "app", "path:/a", FILE, Image(FILE, kept="k1"), Image(FILE, digest="d1"))
AFTER = e.Owned("/a", "app", "path:/a", FILE, Image(FILE, kept="k1"), Image(FILE, digest="d2"))


def database() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:")
    connection.executescript(e.SCHEMA)
    connection.execute("CREATE TABLE job (n INTEGER PRIMARY KEY, finished INTEGER NOT NULL DEFAULT 0)")
    connection.execute("INSERT INTO job (n) VALUES (7), (8)")
    return connection


def effect(**more: object) -> e.Effect:
    change = Change("/a", Image(FILE, kept="k2"), Image(FILE))
    return e.Effect(e.DO, "app", "path:/a", "[2]", "t2", 0, changes=[change], now=[AFTER], **more)  # type: ignore[arg-type]


def test_what_is_begun_and_taken_back_leaves_what_was() -> None:
    db = database()
    e._own(db, "app", [], [BEFORE])
    e._put_acted(db, OLD)
    one = e.begin(db, 7, effect(old=OLD, was=[BEFORE]))
    assert e.owned_by(db, "app", "path:/a") == [AFTER]
    ready = e.save(db, one, e.READY)
    assert e.of_job(db, 7) == [ready]
    done = e.save(db, ready, e.DONE)
    assert [(row.action, row.tree) for row in e.acted(db, "app")] == [("[2]", "t2")]
    assert e.kept_names(db) == {"k1", "k2"}
    e.undone(db, done)
    assert e.acted(db, "app") == [OLD]
    assert e.owned_by(db, "app", "path:/a") == [BEFORE]
    assert e.of_job(db, 7) == []
    assert e.kept_names(db) == {"k1"}


def test_what_could_not_be_taken_back_is_kept_until_its_job_has_told_it() -> None:
    db = database()
    e._put_acted(db, OLD)
    one = e.save(db, e.begin(db, 7, effect(old=OLD)), e.BACK)
    e.undone(db, one, "program x: unknown")
    assert (e.of_job(db, 7), e.lost(db, 7), e.lost(db, 8)) == ([], ["program x: unknown"], [])
    assert e.acted(db, "app") == [OLD]
    assert e.kept_names(db) == set()
    e.begin(db, 8, effect())
    assert e.lost(db, 7) == ["program x: unknown"]
    db.execute("UPDATE job SET finished=1 WHERE n=7")
    e.begin(db, 8, effect())
    assert e.lost(db, 7) == []


def test_what_is_accepted_stays() -> None:
    db = database()
    e.save(db, e.begin(db, 7, effect()), e.DONE)
    e.accept(db, 7)
    assert e.of_job(db, 7) == []
    assert len(e.acted(db, "app")) == 1
    taken = e.Effect(e.TAKE, "app", "path:/a", "[2]", "t2", 0, was=[AFTER])
    e.save(db, e.begin(db, 8, taken), e.DONE)
    assert e.acted(db, "app") == []
    assert e.owned_by(db, "app", "path:/a") == []


def test_owners_of_paths_of_folders_above_and_of_what_is_below() -> None:
    db = database()
    rows = [e.Owned(path, who, "i", FILE, Image(), Image()) for path, who in (("/a", "x"), ("/a/b", "y"), ("/ab", "z"))]
    for row in rows:
        e._own(db, row.package, [], [row])
    assert set(e.owners(db, ["/a/b/c"], [])) == {"/a", "/a/b"}
    assert set(e.owners(db, [], ["/a"])) == {"/a/b"}
    assert e.owners(db, ["/none"], ["/none"]) == {}
