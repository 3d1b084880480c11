"""The tables of site-held jobs, of waking and of the windows of groups; the rules are those of `tables`."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Integer, LargeBinary, String, Table, Text

from tiercast_server.database.tables import metadata

_Name = String(255)

#: Jobs of which gateways decide who joins: `vouchers` maps their names to generations, `revision` that of the order
#: which they hold; `ended` when they were told to add nobody any more.
site_jobs = Table(
    "site_jobs",
    metadata,
    Column("job", String(32), primary_key=True),
    Column("revision", Integer, nullable=False),
    Column("vouchers", LargeBinary, nullable=False),
    Column("ended", Boolean, nullable=False, default=False, server_default="0"),
)

#: Final records of nodes for which the gateway's word has not come yet.
site_strays = Table(
    "site_strays",
    metadata,
    Column("job", String(32), primary_key=True),
    Column("node", _Name, primary_key=True),
    Column("record", LargeBinary, nullable=False),
)

#: When packages may be installed on the members of a group.
group_windows = Table(
    "group_windows",
    metadata,
    Column("group_name", _Name, ForeignKey("node_groups.name", ondelete="CASCADE"), primary_key=True),
    Column("text", Text, nullable=False),
)

#: Groups whose machines are woken for every job.
group_wakes = Table(
    "group_wakes",
    metadata,
    Column("group_name", _Name, ForeignKey("node_groups.name", ondelete="CASCADE"), primary_key=True),
)

#: Targets of open jobs that could not be woken: when that was heard last, and how it was put.
unwoken = Table(
    "unwoken",
    metadata,
    Column("job", String(32), ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("node", _Name, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("detail", Text, nullable=False),
)

#: What each machine was told of the windows of its groups last: `body` is the list.
windows_told = Table(
    "windows_told",
    metadata,
    Column("node", _Name, ForeignKey("nodes.name", ondelete="CASCADE"), primary_key=True),
    Column("generation", Integer, nullable=False),
    Column("issued", BigInteger, nullable=False),
    Column("body", LargeBinary, nullable=False),
)
