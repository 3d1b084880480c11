"""What was said to this node about transfers, kept over restarts: terms of links, suspensions, changed jobs, budgets.

Rules
- One row per thing said: a kind, a name and a map.  It is here before whoever said it is answered.
- All of it is in memory too, read once at start: steering asks at every change and every tick.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqlite3 import Connection

    from tiercast_protocol.node.database import Database

#: The limits of links that an earlier version kept come along.
SCHEMA = """
CREATE TABLE said(kind TEXT NOT NULL, name TEXT NOT NULL, body TEXT NOT NULL, PRIMARY KEY(kind, name)) WITHOUT ROWID;
INSERT INTO said(kind, name, body) SELECT 'link', child, '{"rate": ' || rate || '}' FROM link_rates WHERE rate > 0;
DROP TABLE link_rates;
"""

LINK, HOLD, ABOVE, TOLD, SHAPE, SPENT = "link", "hold", "above", "told", "shape", "spent"
#: Of breakers: those of rollouts, what a parent holds, what each child heard.
BREAKER, HELD, HELD_TOLD = "breaker", "held", "held-told"
#: Whom a packet was sent to that wakes, and who has not connected since.
WOKEN = "woken"

Body = dict[str, Any]


class Said:
    """The rows, by kind and name; bodies are plain maps that JSON can carry."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._rows: dict[str, dict[str, Body]] = {}

    async def load(self) -> None:
        """Read everything; once, at start."""
        rows = await self._db.read(lambda c: c.execute("SELECT kind, name, body FROM said").fetchall())
        for kind, name, body in rows:
            self._rows.setdefault(kind, {})[name] = json.loads(body)

    def all(self, kind: str) -> Mapping[str, Body]:
        """Every row of a kind, by name."""
        return self._rows.get(kind, {})

    def get(self, kind: str, name: str) -> Body | None:
        """One row."""
        return self._rows.get(kind, {}).get(name)

    def note(self, kind: str, rows: Mapping[str, Body | None]) -> None:
        """Have these rows in memory, before they are written: what is said acts at once."""
        known = self._rows.setdefault(kind, {})
        for name, body in rows.items():
            if body is None:
                known.pop(name, None)
            else:
                known[name] = body

    async def put(self, kind: str, rows: Mapping[str, Body | None]) -> None:
        """Write these rows, or forget those that are None; returns when it is committed."""
        texts = {name: None if body is None else json.dumps(body) for name, body in rows.items()}
        await self._db.write(lambda c: _put(c, kind, texts))
        self.note(kind, rows)


def _put(c: Connection, kind: str, rows: dict[str, str | None]) -> None:
    for name, body in rows.items():
        if body is None:
            c.execute("DELETE FROM said WHERE kind = ? AND name = ?", (kind, name))
        else:
            c.execute(
                "INSERT INTO said(kind, name, body) VALUES (?, ?, ?)"
                " ON CONFLICT(kind, name) DO UPDATE SET body = excluded.body",
                (kind, name, body),
            )
