"""The tables of site-held jobs; the rules are those of `tables`."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Integer, LargeBinary, String, Table

from tiercast_server.database.tables import metadata

_Name = String(255)

#: Jobs of which gateways decide who joins: `vouchers` is a list of their names, `revision` that of the order which they
#: hold; `ended` when they were told to add nobody any more.
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
