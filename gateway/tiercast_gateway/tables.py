"""The tables of one sub-tree, in the node's own SQLite file.

Rules
- A step is never changed once released; a change is a new step with the next number.
- What can be asked for again from neighbours (who is there, lanes, wants) is not here.  What was promised
  by an acknowledgement is: orders, statuses, routes, the broker's users, pins, what was said of transfers.
- The outbox and inbox of the node kit are step 1 of the same file, so that one commit can span both.
"""

from __future__ import annotations

from tiercast_gateway.children import lastseen, placings, site_rows
from tiercast_gateway.depot import offers
from tiercast_gateway.facts import drift, inventories, software_rows
from tiercast_gateway.orders import breaker_rows
from tiercast_gateway.orders import rows as order_rows
from tiercast_gateway.steering import said
from tiercast_protocol.node.post import Post

_SUBTREE = """
CREATE TABLE users(
    name TEXT PRIMARY KEY, password_hash TEXT NOT NULL, role TEXT NOT NULL, public_key BLOB NOT NULL,
    generation INTEGER NOT NULL, token_id TEXT NOT NULL, expires INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE routes(node TEXT PRIMARY KEY, via TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX routes_via ON routes(via);
CREATE TABLE orders(
    job TEXT NOT NULL, revision INTEGER NOT NULL, type TEXT NOT NULL, package TEXT NOT NULL, version TEXT NOT NULL,
    package_revision INTEGER NOT NULL, root BLOB NOT NULL, expires INTEGER NOT NULL, signed BLOB NOT NULL,
    signature BLOB NOT NULL, cause TEXT NOT NULL, open INTEGER NOT NULL, own INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY(job, revision)) WITHOUT ROWID;
CREATE TABLE order_targets(
    job TEXT NOT NULL, revision INTEGER NOT NULL, node TEXT NOT NULL, place INTEGER NOT NULL, proof BLOB NOT NULL,
    via TEXT NOT NULL DEFAULT '', PRIMARY KEY(job, revision, node)) WITHOUT ROWID;
CREATE INDEX order_targets_waiting ON order_targets(node) WHERE via = '';
CREATE TABLE statuses(
    job TEXT NOT NULL, target TEXT NOT NULL, revision INTEGER NOT NULL, attempt INTEGER NOT NULL, seq INTEGER NOT NULL,
    final INTEGER NOT NULL, told INTEGER NOT NULL, record BLOB NOT NULL, PRIMARY KEY(job, target)) WITHOUT ROWID;
CREATE INDEX statuses_untold ON statuses(told) WHERE told = 0;
CREATE TABLE packages(
    root BLOB PRIMARY KEY, name TEXT NOT NULL, version TEXT NOT NULL, revision INTEGER NOT NULL,
    asked INTEGER NOT NULL, pinned INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;
CREATE TABLE link_rates(child TEXT PRIMARY KEY, rate INTEGER NOT NULL) WITHOUT ROWID;
"""

_DEPOT_LIFE = """
ALTER TABLE packages ADD COLUMN keep_until INTEGER NOT NULL DEFAULT 0;
CREATE TABLE audit_rounds(kind TEXT PRIMARY KEY, round BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE audit_found(
    digest BLOB PRIMARY KEY, state TEXT NOT NULL, found INTEGER NOT NULL, healed INTEGER NOT NULL DEFAULT 0,
    source TEXT NOT NULL DEFAULT '', wanted INTEGER NOT NULL DEFAULT 1) WITHOUT ROWID;
"""

#: Every step of the node's database.
SCHEMA: tuple[tuple[int, str], ...] = (
    (1, Post.SCHEMA),
    (2, _SUBTREE),
    (3, lastseen.SCHEMA),
    (4, _DEPOT_LIFE),
    (5, said.SCHEMA),
    (6, offers.SCHEMA),
    (7, placings.SCHEMA),
    (8, inventories.SCHEMA),
    (9, breaker_rows.SCHEMA),
    (10, site_rows.SCHEMA),
    (11, drift.SCHEMA),
    (12, software_rows.SCHEMA),
    (13, order_rows.WAKES),
    (14, site_rows.DEFINITIONS),
)
