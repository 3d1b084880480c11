"""The tables of activity plans and their steps; the rules are those of `tables`."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Integer, LargeBinary, String, Table, Text, false

from tiercast_server.database.tables import metadata

_Name = String(255)

#: Activity plans that were run; `state` is that of `plan_life`.
plans = Table(
    "plans",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("number", BigInteger, nullable=False, unique=True),
    Column("name", _Name, nullable=False),
    Column("note", Text, nullable=False),
    Column("state", String(16), nullable=False, index=True),
    Column("cancelling", Boolean, nullable=False),
    Column("suspended", Boolean, nullable=False, server_default=false()),
    Column("created_by", _Name, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("ended", BigInteger, nullable=True),
)

#: Their steps: `after` is a list of names, `request` the arguments of `job.create`; `job` is written in the transaction
#: that makes that job.  `code` says why a step could not begin.
plan_steps = Table(
    "plan_steps",
    metadata,
    Column("plan", String(32), ForeignKey("plans.id", ondelete="CASCADE"), primary_key=True),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("name", _Name, nullable=False),
    Column("after", LargeBinary, nullable=False),
    Column("on_failure", _Name, nullable=False),
    Column("per_target", Boolean, nullable=False, server_default=false()),
    Column("state", String(16), nullable=False, index=True),
    Column("since", BigInteger, nullable=False),
    Column("job", String(32), nullable=False),
    Column("code", String(64), nullable=False),
    Column("detail", Text, nullable=False),
    Column("request", LargeBinary, nullable=False),
)
