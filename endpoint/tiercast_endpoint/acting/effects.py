"""The journal of actions, and what of the machine belongs to whom: the agent's database, schema 11.

Rules
- `effect`: one row per action of an open job, committed before it begins and at each of its phases; in order of doing.
  It goes when the job is accepted, or when the action is taken back.
- `owned`: every path that a package placed, with what stood there before the package came (`origin`) and what the
  package says of it (`after`).  Of a file of settings: its keys, with the values that they had and got.
- `acted`: the actions of the installed version, with what their removal needs to know.
- A row of `owned` or `acted` changes in the transaction that journals the effect, and goes back in that which ends it.
- Units of work are plain functions of a connection.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from sqlite3 import Connection
from typing import Any

import msgspec

from tiercast_endpoint.acting.changes import Change
from tiercast_endpoint.acting.prefix import Image

SCHEMA = """
CREATE TABLE effect (
    n INTEGER PRIMARY KEY AUTOINCREMENT,
    job INTEGER NOT NULL,
    phase TEXT NOT NULL,
    body BLOB NOT NULL
);
CREATE INDEX effect_job ON effect (job, n);
CREATE TABLE owned (
    path TEXT NOT NULL,
    package TEXT NOT NULL,
    identity TEXT NOT NULL,
    kind TEXT NOT NULL,
    origin BLOB NOT NULL,
    after BLOB NOT NULL,
    keys BLOB NOT NULL,
    PRIMARY KEY (path, package)
) WITHOUT ROWID;
CREATE INDEX owned_identity ON owned (package, identity);
CREATE TABLE acted (
    package TEXT NOT NULL,
    identity TEXT NOT NULL,
    position INTEGER NOT NULL,
    action TEXT NOT NULL,
    tree TEXT NOT NULL,
    state BLOB NOT NULL,
    PRIMARY KEY (package, identity)
) WITHOUT ROWID;
"""

#: Phases of an effect, in their order; the texts stand in journals.  `back`: what takes it back was started.
BEGUN, READY, RUNNING, DONE, BACK = "begun", "ready", "running", "done", "back"
#: It could not be taken back, which the job is still to tell when it ends.
LOST = "lost"
DO, TAKE = "do", "take"
#: In the state of an action that stands: taking it back was begun once and not seen to finish, so nobody knows.
UNSURE = "unsure"
#: Kinds of what is owned besides those of images: a folder put there whole, a file of settings, a file beside another.
WHOLE, SETTINGS, BESIDE = "whole", "settings", "beside"


@dataclass(frozen=True, slots=True)
class Owned:
    """A path of a package; `keys` is {key: [form before, form set]}, None for a key that was or is not there."""

    path: str
    package: str
    identity: str
    kind: str
    origin: Image
    after: Image
    keys: dict[str, list[Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Acted:
    """An action of the installed version; `action` as `pack_actions` gives it, `tree` where its sources lie."""

    package: str
    identity: str
    position: int
    action: str
    tree: str
    state: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Effect:
    """One action under way.

    Attributes:
        kind: "do" it, or "take" it back.
        action: what is done or taken.
        tree: where its sources lie.
        old: what stood of the same identity; None if nothing did.
        state: what the machine was like before.
        changes: of placed files.
        was, now: what the package owned of the paths concerned, and owns.
        did: what came of it, once that was seen.
    """

    kind: str
    package: str
    identity: str
    action: str
    tree: str
    position: int
    old: Acted | None = None
    state: dict[str, Any] = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)
    was: list[Owned] = field(default_factory=list)
    now: list[Owned] = field(default_factory=list)
    did: str = ""
    n: int = 0
    phase: str = BEGUN


def begin(connection: sqlite3.Connection, job: int, effect: Effect) -> Effect:
    """Journal an effect before anything of it is done; what ended jobs could not take back has been told by then."""
    connection.execute("DELETE FROM effect WHERE phase=? AND job IN (SELECT n FROM job WHERE finished>0)", (LOST,))
    cursor = connection.execute(
        "INSERT INTO effect (job, phase, body) VALUES (?,?,?)", (job, effect.phase, msgspec.msgpack.encode(effect))
    )
    _own(connection, effect.package, effect.was, effect.now)
    return replace(effect, n=cursor.lastrowid or 0)


def save(connection: sqlite3.Connection, effect: Effect, phase: str) -> Effect:
    """The effect came to `phase`."""
    effect = replace(effect, phase=phase)
    if phase == READY:
        _own(connection, effect.package, (), effect.now)
    connection.execute("UPDATE effect SET phase=?, body=? WHERE n=?", (phase, msgspec.msgpack.encode(effect), effect.n))
    if phase == DONE:
        _set_acted(connection, effect)
    return effect


def undone(connection: sqlite3.Connection, effect: Effect, failed: str = "") -> None:
    """The effect was taken back, or never came to anything; why it could not be (`failed`) is kept to be told."""
    _own(connection, effect.package, effect.now, effect.was)
    _unset_acted(connection, effect.package, effect.identity)
    if effect.old is not None:
        unsure = {UNSURE: True} if effect.kind == TAKE and effect.phase == RUNNING and not effect.did else {}
        _put_acted(connection, replace(effect.old, state=effect.old.state | unsure))
    if failed:
        lost = Effect(effect.kind, effect.package, effect.identity, effect.action, effect.tree, effect.position)
        body = msgspec.msgpack.encode(replace(lost, did=failed, phase=LOST))
        connection.execute("UPDATE effect SET phase=?, body=? WHERE n=?", (LOST, body, effect.n))
    else:
        connection.execute("DELETE FROM effect WHERE n=?", (effect.n,))


def of_job(connection: sqlite3.Connection, job: int) -> list[Effect]:
    """The effects of a job that stand, in order of doing."""
    rows = connection.execute("SELECT n, phase, body FROM effect WHERE job=? AND phase<>? ORDER BY n", (job, LOST))
    return [_effect(*row) for row in rows]


def lost(connection: sqlite3.Connection, job: int) -> list[str]:
    """Of each effect of a job that could not be taken back, why, in the order in which that was tried."""
    rows = connection.execute("SELECT n, phase, body FROM effect WHERE job=? AND phase=? ORDER BY n DESC", (job, LOST))
    return [_effect(*row).did for row in rows]


def accept(connection: sqlite3.Connection, job: int) -> None:
    """Nobody goes back to before this job."""
    connection.execute("DELETE FROM effect WHERE job=?", (job,))


def acted(connection: sqlite3.Connection, package: str) -> list[Acted]:
    """The actions of the installed version, in order of doing."""
    rows = connection.execute(
        "SELECT package, identity, position, action, tree, state FROM acted WHERE package=? ORDER BY position",
        (package,),
    )
    return [
        Acted(who, what, at, action, tree, msgspec.msgpack.decode(state)) for who, what, at, action, tree, state in rows
    ]


def inherit(connection: Connection, effect: Effect, *, brought: bool) -> str:
    """The package that names the same; "" for none.  Of what this one `brought`, that one goes back to before it."""
    row = connection.execute(
        "SELECT package FROM acted WHERE identity=? AND package<>? ORDER BY package LIMIT 1",
        (effect.identity, effect.package),
    ).fetchone()
    if row is None:
        return ""
    if brought:
        state = msgspec.msgpack.encode(effect.state)
        connection.execute("UPDATE acted SET state=? WHERE identity=? AND package=?", (state, effect.identity, row[0]))
    return str(row[0])


def move_acted(connection: Connection, package: str, tree: str) -> None:
    """The sources of what the installed version did lie in this tree."""
    connection.execute("UPDATE acted SET tree=? WHERE package=? AND tree<>?", (tree, package, tree))


def owned_by(connection: sqlite3.Connection, package: str, identity: str) -> list[Owned]:
    """What an action of the package placed."""
    rows = connection.execute(
        "SELECT path, package, identity, kind, origin, after, keys FROM owned WHERE package=? AND identity=?",
        (package, identity),
    )
    return [_owned(row) for row in rows]


def all_owned(connection: sqlite3.Connection, package: str) -> dict[str, list[Owned]]:
    """What each action of the package placed, by identity."""
    rows = connection.execute(
        "SELECT path, package, identity, kind, origin, after, keys FROM owned WHERE package=?", (package,)
    )
    found: dict[str, list[Owned]] = {}
    for one in map(_owned, rows):
        found.setdefault(one.identity, []).append(one)
    return found


def owners(connection: Connection, paths: Iterable[str], folders: Iterable[str]) -> dict[str, list[Owned]]:
    """Who owns any of `paths`, a folder above one, or anything below one of `folders`; by path."""
    query = "SELECT path, package, identity, kind, origin, after, keys FROM owned WHERE "
    wanted = set(paths)
    for path in paths:
        above = path
        while above := above.rpartition("/")[0]:
            wanted.add(above)
    rows = [row for path in wanted for row in connection.execute(query + "path=?", (path,))]
    for folder in folders:
        rows += connection.execute(query + "path > ? AND path < ?", (f"{folder}/", f"{folder}0"))
    found: dict[str, list[Owned]] = {}
    for one in {(row[0], row[1]): _owned(row) for row in rows}.values():
        found.setdefault(one.path, []).append(one)
    return found


def kept_names(connection: sqlite3.Connection) -> set[str]:
    """Every kept file that somebody may go back to."""
    images = [msgspec.msgpack.decode(row[0], type=Image) for row in connection.execute("SELECT origin FROM owned")]
    for row in connection.execute("SELECT body FROM effect"):
        effect = msgspec.msgpack.decode(row[0], type=Effect)
        images += [change.before for change in effect.changes]
        images += [one.origin for one in effect.was]
    return {image.kept for image in images if image.kept}


def _own(connection: sqlite3.Connection, package: str, was: Iterable[Owned], now: Iterable[Owned]) -> None:
    connection.executemany("DELETE FROM owned WHERE path=? AND package=?", ((one.path, package) for one in was))
    connection.executemany(
        "INSERT OR REPLACE INTO owned VALUES (?,?,?,?,?,?,?)",
        (
            (
                one.path,
                one.package,
                one.identity,
                one.kind,
                *map(msgspec.msgpack.encode, (one.origin, one.after, one.keys)),
            )
            for one in now
        ),
    )


def _set_acted(connection: sqlite3.Connection, effect: Effect) -> None:
    if effect.kind == TAKE:
        _unset_acted(connection, effect.package, effect.identity)
    else:
        row = Acted(effect.package, effect.identity, effect.position, effect.action, effect.tree, effect.state)
        _put_acted(connection, row)


def _put_acted(connection: sqlite3.Connection, row: Acted) -> None:
    connection.execute(
        "INSERT OR REPLACE INTO acted VALUES (?,?,?,?,?,?)",
        (row.package, row.identity, row.position, row.action, row.tree, msgspec.msgpack.encode(row.state)),
    )


def _unset_acted(connection: sqlite3.Connection, package: str, identity: str) -> None:
    connection.execute("DELETE FROM acted WHERE package=? AND identity=?", (package, identity))


def _effect(n: int, phase: str, body: bytes) -> Effect:
    return replace(msgspec.msgpack.decode(body, type=Effect), n=n, phase=phase)


def _owned(row: tuple[Any, ...]) -> Owned:
    path, package, identity, kind, origin, after, keys = row
    before, said = (msgspec.msgpack.decode(one, type=Image) for one in (origin, after))
    return Owned(path, package, identity, kind, before, said, msgspec.msgpack.decode(keys))
