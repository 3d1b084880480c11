"""The times at which the owner of this machine would have packages installed (docs/on-the-endpoint.md).

Rules
- A wish, not a window: it is waited for as far as each order lets the owner put it off, and no further.  Where no such
  time comes before that, or the order leaves nothing to him, it is installed as if nothing had been wished.
- It is written and synced before it is confirmed, and holds until it is taken back, over restarts and cuts.
- A job that its owner releases by name waits for it no more.
- Waiting for it is no deferral and is not counted; but where no deferral is left, it is not waited for either.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

from tiercast_endpoint.jobs.gate import NO_WISH, Preferred
from tiercast_endpoint.owner.choices import AT_ONCE, Choice, Terms
from tiercast_protocol.errors import UsageError
from tiercast_protocol.node.control.verbs import Call, Verbs
from tiercast_protocol.node.database import Database
from tiercast_protocol.transfer import calendar

SCHEMA = """
CREATE TABLE preferred (
    one INTEGER PRIMARY KEY CHECK (one = 1), windows TEXT NOT NULL, by TEXT NOT NULL, at INTEGER NOT NULL
);
"""
_WEEKS_S = 15 * 86_400.0


def wish(windows: tuple[calendar.Window, ...], terms: Terms, choice: Choice, deadline: int) -> Preferred:
    """What is left of the wish for a job; `deadline` of its order in milliseconds, 0 for none."""
    most = terms.provisos.defer_max
    if not windows or choice.until == AT_ONCE or (most is not None and choice.times >= most):
        return NO_WISH
    return Preferred(windows, min(terms.latest, deadline) if deadline else terms.latest)


class Preferring:
    """What the owner wished.

    Args:
        db: the agent's journal.
        now_ms: the clock.
    """

    def __init__(self, db: Database, now_ms: Callable[[], int]) -> None:
        self._db, self._now_ms = db, now_ms
        self.windows: tuple[calendar.Window, ...] = ()
        self._by, self._at = "", 0
        #: Called when the wish is another.
        self.act: Callable[[], None] = lambda: None

    @classmethod
    async def loaded(cls, db: Database, now_ms: Callable[[], int]) -> Preferring:
        """With what was wished in earlier lives; before any job is taken up."""
        made = cls(db, now_ms)
        for text, by, at in await db.read(lambda c: c.execute("SELECT windows, by, at FROM preferred").fetchall()):
            made.windows, made._by, made._at = calendar.parse(text) if text else (), by, at
        return made

    def register(self, verbs: Verbs) -> None:
        """Put its verbs into the socket's table."""
        verbs.add("owner.preferred", "viewer", self._show)
        verbs.add("owner.prefer", "operator", self._prefer)

    def shown(self) -> dict[str, Any]:
        """As the socket gives it."""
        return {"window": calendar.shown(self.windows), "by": self._by, "at": self._at}

    async def _show(self, call: Call) -> dict[str, Any]:
        """When packages are best installed here, and who said so."""
        del call
        return self.shown()

    async def _prefer(self, call: Call) -> dict[str, Any]:
        """Wish for these windows (as of a job's install window), "" for none."""
        text, by, now = call.text("window"), call.user, self._now_ms()
        windows = _checked(text, now) if text.strip() else ()
        kept = calendar.shown(windows)
        await self._db.write(lambda connection: _put(connection, kept, by, now))
        self.windows, self._by, self._at = windows, by, now
        self.act()
        return self.shown()


def _checked(text: str, now: int) -> tuple[calendar.Window, ...]:
    windows = calendar.parse(text)
    if any(one.rate is not None for one in windows):
        raise UsageError(
            code="owner.window",
            what=f"Preferred times have no rate: {text[:200]}",
            todo='Write windows alone: "daily 12:00-13:00; sat,sun 00:00-24:00". Nothing was changed.',
        )
    if not calendar.capacity(windows, now / 1000, now / 1000 + _WEEKS_S)[0]:
        raise UsageError(
            code="owner.window",
            what=f"The window {calendar.shown(windows)} never opens.",
            todo='Add one that does: "daily 12:00-13:00". Nothing was changed.',
        )
    return windows


def _put(connection: sqlite3.Connection, windows: str, by: str, at: int) -> None:
    connection.execute("INSERT OR REPLACE INTO preferred VALUES (1, ?, ?, ?)", (windows, by, at))
