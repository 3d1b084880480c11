"""The tables of the desired state; the rules are those of `tables`."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Integer, LargeBinary, String, Table, Text

from tiercast_server.database.tables import metadata

_Name = String(255)

#: Windows by name, for assignments.  `open` is one text as options have it.
desired_windows = Table(
    "desired_windows",
    metadata,
    Column("name", _Name, primary_key=True),
    Column("open", Text, nullable=False),
)

#: What is to be there, and what is not.  `target` is the expression of who is meant, `wants` the requirement;
#: `definition` a map of all that was said (`desired_document.Assignment`); `said` is why it can't be acted on,
#: `rollout` its newest and `rolled` the version of that.
assignments = Table(
    "assignments",
    metadata,
    Column("name", _Name, primary_key=True),
    Column("package", _Name, nullable=False, index=True),
    Column("wants", Text, nullable=False),
    Column("lacks", Boolean, nullable=False),
    Column("target", Text, nullable=False),
    Column("paused", Boolean, nullable=False),
    Column("definition", LargeBinary, nullable=False),
    Column("said", Text, nullable=False),
    Column("rollout", String(32), nullable=False),
    Column("rolled", _Name, nullable=False),
    Column("created_by", _Name, nullable=False),
    Column("created", BigInteger, nullable=False),
)

#: What was tried on machines (`assignment_life.Try`), as far as there is something to remember.
assignment_tries = Table(
    "assignment_tries",
    metadata,
    Column("assignment", _Name, ForeignKey("assignments.name", ondelete="CASCADE"), primary_key=True),
    Column("node", _Name, primary_key=True),
    Column("job", String(32), nullable=False),
    Column("failures", Integer, nullable=False),
    Column("again", BigInteger, nullable=False),
    Column("done", BigInteger, nullable=False),
    Column("code", String(64), nullable=False),
    Column("detail", Text, nullable=False),
)

#: What each gateway was told of an assignment (`told` its digest, `seq` its number), and what it says of its children:
#: `counts` by state and those that are not as they are to be (`away`), at `at`.  A row outlives its assignment until
#: the gateway was told that it is gone.
assignment_sites = Table(
    "assignment_sites",
    metadata,
    Column("assignment", _Name, primary_key=True),
    Column("gateway", _Name, primary_key=True),
    Column("told", LargeBinary, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("counts", LargeBinary, nullable=False),
    Column("away", LargeBinary, nullable=False),
)

#: Every change: who, when, what (`changes`), and all definitions after it (`document`).
desired_changes = Table(
    "desired_changes",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("at", BigInteger, nullable=False),
    Column("by", _Name, nullable=False),
    Column("how", _Name, nullable=False),
    Column("changes", LargeBinary, nullable=False),
    Column("document", LargeBinary, nullable=False),
)
