"""The agent's journal of jobs and of what it has told of them.

Why SQLite and not an append-only file: a step of a job, its status record and its place in the outbox belong
together, and the outbox is SQLite; one database with `synchronous=FULL` commits them in order, survives a power cut
as a whole, and needs no compaction.  A job has some ten steps, so speed is no reason for another form.

Rules
- A job is one row per (job, revision): what was ordered, the machine's snapshot, what its programs did, its receipt.
- `seq` is one counter of the whole node: it only ever grows, and is committed before anybody hears of it.
- What is installed stands in the same database (`holdings`).
- Units of work here are plain functions of a connection; the callers hand them to `Database.write` or `.read`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from tiercast_endpoint.jobs.install import Snapshot
from tiercast_protocol.content.jobs.receipt import ActionResult, ProgramResult
from tiercast_protocol.wire.messages import StatusRecord

SCHEMA = """
CREATE TABLE job (
    n INTEGER PRIMARY KEY AUTOINCREMENT,
    job TEXT NOT NULL,
    revision INTEGER NOT NULL,
    type TEXT NOT NULL,
    package TEXT NOT NULL,
    version TEXT NOT NULL,
    package_revision INTEGER NOT NULL,
    root BLOB NOT NULL,
    issued INTEGER NOT NULL,
    expires INTEGER NOT NULL,
    cause TEXT NOT NULL,
    snapshot BLOB NOT NULL,
    programs BLOB NOT NULL,
    running TEXT NOT NULL DEFAULT '',
    tree TEXT NOT NULL DEFAULT '',
    made INTEGER NOT NULL DEFAULT 0,
    previous TEXT,
    started INTEGER NOT NULL DEFAULT 0,
    finished INTEGER NOT NULL DEFAULT 0,
    seq INTEGER NOT NULL DEFAULT 0,
    state TEXT NOT NULL,
    code TEXT NOT NULL DEFAULT '',
    detail TEXT NOT NULL DEFAULT '',
    done INTEGER NOT NULL DEFAULT 0,
    total INTEGER NOT NULL DEFAULT 0,
    at INTEGER NOT NULL,
    receipt BLOB NOT NULL DEFAULT x'',
    signature BLOB NOT NULL DEFAULT x'',
    reported INTEGER NOT NULL DEFAULT 0,
    UNIQUE (job, revision)
);
CREATE INDEX job_open ON job (n) WHERE finished = 0;
CREATE INDEX job_unreported ON job (n) WHERE finished > 0 AND reported = 0;
CREATE TABLE counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
"""
#: The next step: what the order says beyond its package, as a msgpack map.
OPTIONS = "ALTER TABLE job ADD COLUMN options BLOB NOT NULL DEFAULT x'80';"

#: And what the package's own actions did, as a msgpack list.
ACTIONS = "ALTER TABLE job ADD COLUMN actions BLOB NOT NULL DEFAULT x'90';"

SEQ, EPOCH, TIME = "seq", "epoch", "time"
#: So many installations say how long the next may take.
_OBSERVED = 5
#: Final jobs are kept so long after their order's expiry: as long as a replay could do harm, and for whoever asks.
KEEP_MS = 90 * 24 * 3600 * 1000


@dataclass(frozen=True, slots=True)
class Job:
    """One row: see the schema.  Times are milliseconds since 1970.

    Attributes:
        running: identity of the program that was started and not seen to finish.
        tree: the tree that this job switches to; `made` when this job built it.
        previous: what the name led to before the switch ("" is nothing); None until that was looked up.
        options: those of the order.
        finished: 0 while the job is open.
        answers: the revision of the last order that said how far it is to go; 0 where none did.
        ordered: how far that was, one of `phases.STEPS`.
    """

    job: str
    revision: int
    type: str
    package: str
    version: str
    package_revision: int
    root: bytes
    issued: int
    expires: int
    cause: str
    state: str
    at: int
    n: int = 0
    snapshot: Snapshot = field(default_factory=lambda: Snapshot("install"))
    programs: tuple[ProgramResult, ...] = ()
    running: str = ""
    tree: str = ""
    made: bool = False
    previous: str | None = None
    started: int = 0
    finished: int = 0
    seq: int = 0
    code: str = ""
    detail: str = ""
    done: int = 0
    total: int = 0
    receipt: bytes = b""
    signature: bytes = b""
    reported: bool = False
    options: dict[str, str | int | bool] = field(default_factory=dict)
    actions: tuple[ActionResult, ...] = ()
    answers: int = 0
    ordered: str = ""

    @property
    def key(self) -> str:
        """A name for the job's staging folder."""
        return f"{self.job}.{self.revision}"

    @property
    def told_revision(self) -> int:
        """The revision that records and the receipt are about."""
        return max(self.revision, self.answers)

    def record(self, target: str) -> StatusRecord:
        """What is told upward."""
        return StatusRecord(
            job=self.job,
            revision=self.told_revision,
            target=target,
            attempt=self.snapshot.attempt,
            seq=self.seq,
            state=self.state,
            at=self.at,
            code=self.code,
            detail=self.detail,
            done=self.done,
            total=self.total,
            receipt=self.receipt,
            signature=self.signature,
        )


_COLUMNS = (
    "job, revision, type, package, version, package_revision, root, issued, expires, cause, state, at, n, snapshot,"
    " programs, running, tree, made, previous, started, finished, seq, code, detail, done, total, receipt, signature,"
    " reported, options, actions, answers, ordered"
)


def _job_of(row: tuple[Any, ...]) -> Job:
    values = dict(zip((name.strip() for name in _COLUMNS.split(",")), row, strict=True))
    values["snapshot"] = msgspec.msgpack.decode(values["snapshot"], type=Snapshot)
    values["programs"] = tuple(msgspec.msgpack.decode(values["programs"], type=list[ProgramResult]))
    values["actions"] = tuple(msgspec.msgpack.decode(values["actions"], type=list[ActionResult]))
    values["options"] = msgspec.msgpack.decode(values["options"])
    values["made"], values["reported"] = bool(values["made"]), bool(values["reported"])
    return Job(**values)


# -- jobs ----------------------------------------------------------------------------------------------


def add_job(connection: sqlite3.Connection, job: Job) -> Job:
    """Write a new job; returns it with its number."""
    cursor = connection.execute(
        "INSERT INTO job (job, revision, type, package, version, package_revision, root, issued, expires, cause, state,"
        " at, snapshot, programs, options) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
        (
            *(job.job, job.revision, job.type, job.package, job.version, job.package_revision, job.root),
            *(job.issued, job.expires, job.cause, job.state, job.at),
            msgspec.msgpack.encode(job.snapshot),
            msgspec.msgpack.encode(job.programs),
            msgspec.msgpack.encode(job.options),
        ),
    )
    return replace(job, n=cursor.lastrowid or 0)


def save_step(connection: sqlite3.Connection, job: Job) -> None:
    """Write the snapshot and what the steps found; `running` and `previous` are written by the steps themselves."""
    connection.execute(
        "UPDATE job SET snapshot=?, programs=?, actions=?, tree=?, made=?, started=? WHERE n=?",
        (
            msgspec.msgpack.encode(job.snapshot),
            msgspec.msgpack.encode(job.programs),
            msgspec.msgpack.encode(job.actions),
            *(job.tree, job.made, job.started, job.n),
        ),
    )


def save_status(connection: sqlite3.Connection, job: Job) -> Job:
    """Write what is told upward, under the next number; returns the job with it."""
    job = replace(job, seq=next_seq(connection))
    connection.execute(
        "UPDATE job SET seq=?, state=?, code=?, detail=?, done=?, total=?, at=? WHERE n=?",
        (job.seq, job.state, job.code, job.detail, job.done, job.total, job.at, job.n),
    )
    return job


def save_final(connection: sqlite3.Connection, job: Job, sign: Callable[[Job], tuple[bytes, bytes]]) -> Job:
    """Write the outcome and its signed receipt, once: a job that is final already stays as it is."""
    row = connection.execute(f"SELECT {_COLUMNS} FROM job WHERE n=?", (job.n,)).fetchone()  # noqa: S608 - constant columns
    known = _job_of(row)
    if known.finished:
        return known
    # An order may have come while it ended: it is answered too.
    job = save_status(connection, replace(job, answers=known.answers, ordered=known.ordered))
    receipt, signature = sign(job)
    connection.execute(
        "UPDATE job SET finished=?, receipt=?, signature=?, reported=0 WHERE n=?",
        (job.finished, receipt, signature, job.n),
    )
    return replace(job, receipt=receipt, signature=signature, reported=False)


def set_reported(connection: sqlite3.Connection, n: int) -> None:
    """The receipt is in the outbox, which repeats it until it is acknowledged."""
    connection.execute("UPDATE job SET reported=1 WHERE n=?", (n,))


def set_running(connection: sqlite3.Connection, n: int, identity: str) -> None:
    """A program of the job was started: what it is known by."""
    connection.execute("UPDATE job SET running=? WHERE n=?", (identity, n))


def set_tree(connection: sqlite3.Connection, n: int, tree: str, *, made: bool = True) -> None:
    """The tree that the job built, or found, stands: from now on nobody else may take it away."""
    connection.execute("UPDATE job SET tree=?, made=? WHERE n=?", (tree, made, n))


def trees_of_others(connection: sqlite3.Connection, package: str, n: int) -> set[str]:
    """The trees that open jobs of the package, besides the job numbered `n`, are to switch to, or may go back to."""
    query = "SELECT tree, coalesce(previous, '') FROM job WHERE finished=0 AND package=? AND n<>?"
    return {tree for row in connection.execute(query, (package, n)) for tree in row if tree}


def observed_s(connection: sqlite3.Connection, package: str) -> float:
    """The most seconds that the programs of one of the last installations of the package took together; 0: unknown."""
    rows = connection.execute(
        "SELECT programs FROM job WHERE finished>0 AND package=? AND type='install' AND state='done'"
        " ORDER BY n DESC LIMIT ?",
        (package, _OBSERVED),
    )
    took = [sum(p.seconds for p in msgspec.msgpack.decode(row[0], type=list[ProgramResult])) for row in rows]
    return max(took, default=0.0)


def bringers(connection: sqlite3.Connection, packages: Sequence[str]) -> list[tuple[str, str, str, str, str, bool]]:
    """(job, package, version, state, code, open) of jobs that install any of these, the newest first."""
    marks = ",".join("?" * len(packages))
    rows = connection.execute(
        "SELECT job, package, version, state, code, finished FROM job"  # noqa: S608 - question marks
        f" WHERE package IN ({marks}) AND type IN ('install', 'offer') ORDER BY n DESC",
        tuple(packages),
    )
    return [(*row[:5], not row[5]) for row in rows]


def set_previous(connection: sqlite3.Connection, n: int, tree: str | None) -> None:
    """What the name led to before the job's switch; None when that was taken back."""
    connection.execute("UPDATE job SET previous=? WHERE n=?", (tree, n))


def set_ordered(connection: sqlite3.Connection, n: int, revision: int, step: str) -> None:
    """An order of this revision says how far the job is to go."""
    connection.execute("UPDATE job SET answers=?, ordered=? WHERE n=?", (revision, step, n))


def job_at(connection: sqlite3.Connection, job: str, revision: int) -> Job | None:
    """The job that answers for this revision."""
    query = f"SELECT {_COLUMNS} FROM job WHERE job=? AND (revision=? OR answers=?) ORDER BY n DESC"  # noqa: S608 - constant columns
    row = connection.execute(query, (job, revision, revision)).fetchone()
    return _job_of(row) if row else None


def newest_revision(connection: sqlite3.Connection, job: str) -> int:
    """The highest revision of the job that was ever ordered here; 0 for an unknown job."""
    query = "SELECT coalesce(max(max(revision, answers)), 0) FROM job WHERE job=?"
    return int(connection.execute(query, (job,)).fetchone()[0])


def revisions(connection: sqlite3.Connection, job: str) -> list[Job]:
    """All revisions of one job, oldest first."""
    rows = connection.execute(f"SELECT {_COLUMNS} FROM job WHERE job=? ORDER BY revision", (job,))  # noqa: S608 - as above
    return [_job_of(row) for row in rows]


def open_jobs(connection: sqlite3.Connection) -> list[Job]:
    """Jobs without an outcome, in order of arrival."""
    return [_job_of(row) for row in connection.execute(f"SELECT {_COLUMNS} FROM job WHERE finished=0 ORDER BY n")]  # noqa: S608


def unreported(connection: sqlite3.Connection) -> list[Job]:
    """Final jobs whose receipt is not known to be in the outbox."""
    query = f"SELECT {_COLUMNS} FROM job WHERE finished>0 AND reported=0 ORDER BY n"  # noqa: S608 - constant columns
    return [_job_of(row) for row in connection.execute(query)]


def answerable(connection: sqlite3.Connection, now_ms: int) -> list[Job]:
    """Jobs of which something was told and whose orders have not expired."""
    query = f"SELECT {_COLUMNS} FROM job WHERE seq>0 AND (finished=0 OR expires>?) ORDER BY n"  # noqa: S608 - constant columns
    return [_job_of(row) for row in connection.execute(query, (now_ms,))]


def latest_jobs(connection: sqlite3.Connection, limit: int) -> list[Job]:
    """The newest jobs first."""
    return [_job_of(row) for row in connection.execute(f"SELECT {_COLUMNS} FROM job ORDER BY n DESC LIMIT ?", (limit,))]  # noqa: S608


def prune_jobs(connection: sqlite3.Connection, now_ms: int) -> int:
    """Forget final, reported jobs whose orders could do no harm for long; how many."""
    return connection.execute(
        "DELETE FROM job WHERE finished>0 AND reported=1 AND expires<? AND finished<?"
        # what is installed is asked what it needs, for as long as it stands
        " AND job NOT IN (SELECT job FROM installed)",
        (now_ms - KEEP_MS, now_ms - KEEP_MS),
    ).rowcount


# -- counters ------------------------------------------------------------------------------------------


def counter(connection: sqlite3.Connection, name: str) -> int:
    """The counter's value; 0 at first."""
    row = connection.execute("SELECT value FROM counter WHERE name=?", (name,)).fetchone()
    return int(row[0]) if row else 0


def raise_counter(connection: sqlite3.Connection, name: str, value: int) -> None:
    """Let the counter be at least `value`."""
    connection.execute(
        "INSERT INTO counter VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value=max(value, excluded.value)",
        (name, value),
    )


def next_seq(connection: sqlite3.Connection) -> int:
    """The next number of a status record."""
    value = counter(connection, SEQ) + 1
    raise_counter(connection, SEQ, value)
    return value
