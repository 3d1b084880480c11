"""The tables of rollouts; the rules are those of `tables`."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Integer, LargeBinary, String, Table, Text

from tiercast_server.database.tables import metadata

_Name = String(255)

#: Jobs in waves.  `rules` and `waves` are maps: when it goes on and stops, and the waves as they were asked for;
#: `begun`, `reached` and `word` are what `rollout_life` keeps; `said` is why it paused or stopped; `undoes` is the
#: rollout whose waves it takes back.
rollouts = Table(
    "rollouts",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("number", BigInteger, nullable=False, unique=True),
    Column("undoes", String(32), nullable=False),
    Column("state", String(16), nullable=False, index=True),
    Column("said", Text, nullable=False),
    Column("rules", LargeBinary, nullable=False),
    Column("waves", LargeBinary, nullable=False),
    Column("begun", Integer, nullable=False),
    Column("reached", BigInteger, nullable=False),
    Column("word", Boolean, nullable=False),
    Column("package", _Name, nullable=False),
    Column("version", _Name, nullable=False),
    Column("package_revision", Integer, nullable=False),
    Column("target", Text, nullable=False),
    Column("options", LargeBinary, nullable=False),
    Column("note", Text, nullable=False),
    Column("created_by", _Name, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("expires", BigInteger, nullable=False),
    Column("ended", BigInteger, nullable=True),
    Column("again", Integer, nullable=False, default=0, server_default="0"),
)

#: What gateways said of their breakers: `shut` while nothing more begins below them; `again` of `rollouts` counts how
#: often a person opened them.
rollout_sites = Table(
    "rollout_sites",
    metadata,
    Column("rollout", String(32), ForeignKey("rollouts.id", ondelete="CASCADE"), primary_key=True),
    Column("node", _Name, primary_key=True),
    Column("seq", BigInteger, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("shut", Boolean, nullable=False),
    Column("bad", BigInteger, nullable=False),
    Column("total", BigInteger, nullable=False),
    Column("limit_text", _Name, nullable=False),
)

#: Who is in which wave, and gets which version ("" none: what it has is removed); `former` is the version that it had
#: as its wave began.
rollout_members = Table(
    "rollout_members",
    metadata,
    Column("rollout", String(32), ForeignKey("rollouts.id", ondelete="CASCADE"), primary_key=True),
    Column("node", _Name, primary_key=True),
    Column("wave", Integer, nullable=False),
    Column("version", _Name, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("former", _Name, nullable=False, default="", server_default=""),
)

#: The jobs of waves that have begun; a wave that takes back what machines had before may have several.
rollout_jobs = Table(
    "rollout_jobs",
    metadata,
    Column("rollout", String(32), ForeignKey("rollouts.id", ondelete="CASCADE"), primary_key=True),
    Column("job", String(32), primary_key=True, index=True),
    Column("number", BigInteger, nullable=False),
    Column("wave", Integer, nullable=False),
)
