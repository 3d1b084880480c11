"""The tables of a region.

Rules
- Nothing here is known to SQLite only: PostgreSQL reads the same definitions.
- Times are milliseconds since 1970, sizes bytes, digests and keys raw bytes.
- What must survive a crash between "decided" and "told" stands in `handovers`, written in the same
  transaction as the decision (docs/protocol.md, section 5).
- A change here is a new file in migrations/versions; a test compares the two.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
    text,
)

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_name)s",
    }
)

_Name = String(255)
#: SQLite counts up by itself only in a column declared INTEGER.
_Counter = BigInteger().with_variant(Integer, "sqlite")

#: One row, `id` 1: whose database this is.
region = Table(
    "region",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("name", _Name, nullable=False),
    Column("server", _Name, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("last_job", BigInteger, nullable=False, default=0),
)

#: Every node below the server.  `state` is invited (no key yet) or joined.
nodes = Table(
    "nodes",
    metadata,
    Column("name", _Name, primary_key=True),
    Column("role", String(16), nullable=False),
    Column("parent", _Name, nullable=False, index=True),
    Column("state", String(16), nullable=False),
    Column("public_key", LargeBinary, nullable=False, default=b""),
    Column("password_hash", Text, nullable=False, default=""),
    Column("generation", Integer, nullable=False, default=0),
    Column("invited", BigInteger, nullable=False),
    Column("joined", BigInteger, nullable=True),
    Column("url", Text, nullable=False, default=""),
)

#: One-time tokens.  `secret` is needed to check the proof and is wiped when the token is used.
tokens = Table(
    "tokens",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("secret", LargeBinary, nullable=False),
    Column("name", _Name, nullable=False, index=True),
    Column("role", String(16), nullable=False),
    Column("parent", _Name, nullable=False),
    Column("replaces", Boolean, nullable=False),
    Column("issued", BigInteger, nullable=False),
    Column("expires", BigInteger, nullable=False),
    Column("used_at", BigInteger, nullable=True),
    Column("used_key", LargeBinary, nullable=False, default=b""),
    Column("reply", LargeBinary, nullable=False, default=b""),
)

cabinets = Table(
    "cabinets",
    metadata,
    Column("name", _Name, primary_key=True),
    Column("note", Text, nullable=False),
    Column("created", BigInteger, nullable=False),
    # names with commas between; "" is everybody
    Column("readers", Text, nullable=False, default="", server_default=""),
    Column("writers", Text, nullable=False, default="", server_default=""),
)

#: `root` is empty while only the entry exists and the content has not been registered.
packages = Table(
    "packages",
    metadata,
    Column("id", _Counter, primary_key=True, autoincrement=True),
    Column("name", _Name, nullable=False),
    Column("version", _Name, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("root", LargeBinary, nullable=False, index=True),
    Column("cabinet", _Name, ForeignKey("cabinets.name"), nullable=False, index=True),
    Column("files", BigInteger, nullable=False, default=0),
    Column("size", BigInteger, nullable=False, default=0),
    Column("chunks", BigInteger, nullable=False, default=0),
    Column("stored_bytes", BigInteger, nullable=False, default=0),
    Column("definition", Text, nullable=False, default=""),
    Column("registered_by", _Name, nullable=False),
    Column("registered_at", BigInteger, nullable=False),
    UniqueConstraint("name", "version", "revision"),
)

#: The test of a package: the job that installed it on one machine, and the one that took it back.
package_tests = Table(
    "package_tests",
    metadata,
    Column("package", _Counter, ForeignKey("packages.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("job", String(32), nullable=False),
    Column("undo", String(32), nullable=False),
    Column("node", _Name, nullable=False),
    Column("tested_by", _Name, nullable=False),
    Column("at", BigInteger, nullable=False),
)

#: What the library must keep: every chunk of every registered package, its root and lists included.
package_chunks = Table(
    "package_chunks",
    metadata,
    Column("package", _Counter, ForeignKey("packages.id", ondelete="CASCADE"), primary_key=True),
    Column("digest", LargeBinary, primary_key=True),
    Index("ix_package_chunks_digest", "digest"),
)

#: Patches between packages (digests of their roots).  `state` is waiting, making, made, useless or failed.
patches = Table(
    "patches",
    metadata,
    Column("id", _Counter, primary_key=True, autoincrement=True),
    Column("base", LargeBinary, nullable=False),
    Column("result", LargeBinary, nullable=False, index=True),
    Column("state", String(16), nullable=False),
    Column("urgency", Integer, nullable=False),
    Column("patch", LargeBinary, nullable=False, default=b""),
    Column("size", BigInteger, nullable=False, default=0),
    Column("plain", BigInteger, nullable=False, default=0),
    Column("took_ms", BigInteger, nullable=False, default=0),
    Column("memory", BigInteger, nullable=False, default=0),
    Column("detail", Text, nullable=False, default=""),
    Column("asked", BigInteger, nullable=False),
    Column("ended", BigInteger, nullable=False, default=0),
    UniqueConstraint("base", "result"),
)

#: What each endpoint said of itself last: `facts` is JSON (`content.inventory.Facts`), `received` when it came,
#: `wishes` the groups that it asks for, with blanks between, `software` the digest of its list, as hexadecimal.
inventory = Table(
    "inventory",
    metadata,
    Column("node", _Name, ForeignKey("nodes.name", ondelete="CASCADE"), primary_key=True),
    Column("generation", Integer, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("received", BigInteger, nullable=False),
    Column("facts", Text, nullable=False),
    Column("wishes", Text, nullable=False),
    Column("software", String(64), nullable=False, server_default=""),
)

#: Lists of software as they travelled (`content.software`), by digest.
software_lists = Table(
    "software_lists",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("data", LargeBinary, nullable=False),
)

#: What changed in what machines say: `at` is the time of the word that said it first.
inventory_changes = Table(
    "inventory_changes",
    metadata,
    Column("id", _Counter, primary_key=True, autoincrement=True),
    Column("node", _Name, ForeignKey("nodes.name", ondelete="CASCADE"), nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("fact", Text, nullable=False),
    Column("old", Text, nullable=False),
    Column("new", Text, nullable=False),
    Index("ix_inventory_changes_node", "node", "id"),
)

#: `expression`: whoever it is true of is a member, and nobody else.  `self_join`: machines may join by themselves.
groups = Table(
    "node_groups",
    metadata,
    Column("name", _Name, primary_key=True),
    Column("created", BigInteger, nullable=False),
    Column("expression", Text, nullable=False, default="", server_default=""),
    Column("self_join", Boolean, nullable=False, default=False, server_default=false()),
)

members = Table(
    "group_members",
    metadata,
    Column("group_name", _Name, ForeignKey("node_groups.name", ondelete="CASCADE"), primary_key=True),
    Column("node", _Name, ForeignKey("nodes.name", ondelete="CASCADE"), primary_key=True, index=True),
    Column("by_itself", Boolean, nullable=False, default=False, server_default=false()),
)

#: `target` is the expression of who is meant; while `follows`, those who join its groups get the job too.
#: `revision` is the newest order's; `cancelling` is set once a cancel order stands.
jobs = Table(
    "jobs",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("number", BigInteger, nullable=False, unique=True),
    Column("type", String(16), nullable=False),
    Column("revision", Integer, nullable=False),
    Column("state", String(16), nullable=False, index=True),
    Column("cancelling", Boolean, nullable=False, default=False),
    Column("package", _Name, nullable=False, index=True),
    Column("version", _Name, nullable=False),
    Column("package_revision", Integer, nullable=False),
    Column("root", LargeBinary, nullable=False),
    Column("note", Text, nullable=False),
    Column("created_by", _Name, nullable=False),
    Column("options", LargeBinary, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("expires", BigInteger, nullable=False),
    Column("closed", BigInteger, nullable=True),
    Column("target", Text, nullable=False, default="", server_default=""),
    Column("follows", Boolean, nullable=False, default=False, server_default=false()),
    Column("origin", String(32), nullable=False, server_default=""),
)

#: One signed order per (job, revision).
orders = Table(
    "orders",
    metadata,
    Column("job", String(32), ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("revision", Integer, primary_key=True),
    Column("type", String(16), nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("signature", LargeBinary, nullable=False),
    Column("created", BigInteger, nullable=False),
)

#: What is known of each target.  `proved`: the state rests on a receipt that its key signed; `since`: when the state
#: began.
targets = Table(
    "targets",
    metadata,
    Column("job", String(32), ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("node", _Name, primary_key=True, index=True),
    Column("parent", _Name, nullable=False),
    Column("ordered", Integer, nullable=False),
    Column("state", String(16), nullable=False),
    Column("code", String(64), nullable=False, default=""),
    Column("detail", Text, nullable=False, default=""),
    Column("revision", Integer, nullable=False, default=0),
    Column("attempt", Integer, nullable=False, default=0),
    Column("seq", BigInteger, nullable=False, default=0),
    Column("done", BigInteger, nullable=False, default=0),
    Column("total", BigInteger, nullable=False, default=0),
    Column("at", BigInteger, nullable=False),
    Column("since", BigInteger, nullable=False, default=0, server_default="0"),
    Column("proved", Boolean, nullable=False, default=False),
    Column("receipt", LargeBinary, nullable=False, default=b""),
    Column("signature", LargeBinary, nullable=False, default=b""),
    # Counts by state are asked for with every receipt and for every list: they read this and nothing else.
    Index("ix_targets_job_state", "job", "state"),
    Column("owner", Text, nullable=False, default="", server_default=""),
    Index("ix_targets_owner", "job", "node", sqlite_where=text("owner <> ''"), postgresql_where=text("owner <> ''")),
)

#: What a gateway on the way says of passing the content on.  `rate` is bytes per second; `why` is what it says of
#: children to whom nothing goes (`tiercast_gateway.why.reasons`).
hops = Table(
    "hops",
    metadata,
    Column("job", String(32), ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("node", _Name, primary_key=True),
    Column("state", String(16), nullable=False),
    Column("revision", Integer, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("done", BigInteger, nullable=False),
    Column("total", BigInteger, nullable=False),
    Column("rate", BigInteger, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("why", Text, nullable=False, default="", server_default=""),
)

#: Decided, but perhaps not yet told to the tree: handed over in order of `id`, then deleted.
handovers = Table(
    "handovers",
    metadata,
    Column("id", _Counter, primary_key=True, autoincrement=True),
    Column("kind", String(64), nullable=False),
    Column("receiver", _Name, nullable=False),
    Column("cause", _Name, nullable=False),
    Column("body", LargeBinary, nullable=False),
)

#: Where each node said it is.  `parent` "" is: nothing said yet; `candidates` are names with blanks between, "" the
#: default; `called` is when it was last called home; `told` the digest of the list of parents that it was told.
placings = Table(
    "placings",
    metadata,
    Column("node", _Name, primary_key=True),
    Column("parent", _Name, nullable=False, default="", index=True),
    Column("seq", BigInteger, nullable=False, default=0),
    Column("at", BigInteger, nullable=False, default=0),
    Column("reason", Text, nullable=False, default=""),
    Column("called", BigInteger, nullable=False, default=0),
    Column("candidates", Text, nullable=False, default=""),
    Column("retiring", Boolean, nullable=False, default=False),
    Column("told", LargeBinary, nullable=False, default=b""),
)

#: Whom the broker of each gateway (or of the server) was told to let in.
admissions = Table(
    "admissions",
    metadata,
    Column("gateway", _Name, primary_key=True),
    Column("node", _Name, primary_key=True, index=True),
    Column("guest", Boolean, nullable=False),
    Column("generation", Integer, nullable=False),
)

#: What a job was asked with (the arguments of `job.create`), its folder, and what it is about in one line.  While
#: `draft` is set, nothing of it was ordered and `jobs` has no such row.
job_requests = Table(
    "job_requests",
    metadata,
    Column("job", String(32), primary_key=True),
    Column("number", BigInteger, nullable=False, unique=True),
    Column("draft", Boolean, nullable=False, index=True),
    Column("folder", String(255), nullable=False, default="", index=True),
    Column("about", Text, nullable=False),
    Column("created_by", _Name, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("request", LargeBinary, nullable=False),
)

#: Requests with parameters: `parameters` is a map of name to default, nil where one must be given.
templates = Table(
    "templates",
    metadata,
    Column("name", _Name, primary_key=True),
    Column("note", Text, nullable=False),
    Column("created_by", _Name, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("parameters", LargeBinary, nullable=False),
    Column("request", LargeBinary, nullable=False),
)
