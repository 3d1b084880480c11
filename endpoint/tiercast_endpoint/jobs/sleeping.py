"""Shuts the machine down after the jobs that it was woken for (docs/power.md).

Rules
- Only a machine whose gateway says that it woke it (`woken.v1`), and only where the signed order of the job says
  `sleep_after`: neither word alone does it.
- Not while another job is open here, nor before the last receipts are with the parent, nor within `delay_s` of the last
  job's end: until then its owner sees it, and may keep the machine awake.
- That it was woken is kept over restarts of the agent, and forgotten once it went down or was kept awake.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import structlog

from tiercast_endpoint.jobs import journal
from tiercast_endpoint.jobs.powering import PowerSettings, run_command
from tiercast_protocol.content.jobs.power import SLEEP_AFTER
from tiercast_protocol.node.control.verbs import Call, Verbs
from tiercast_protocol.node.database import Database
from tiercast_protocol.node.post import Post
from tiercast_protocol.wire.envelope import Envelope
from tiercast_protocol.wire.messages import body_of
from tiercast_protocol.wire.power import Woken

log = structlog.get_logger(__name__)

SCHEMA = """
CREATE TABLE woken (job TEXT PRIMARY KEY, at INTEGER NOT NULL) WITHOUT ROWID;
"""
#: Longest that receipts are waited for, in milliseconds, and seconds between two looks.
_RECEIPTS_MS, _LOOK_S = 30_000, 0.2


class Sleeping:
    """Of one machine.

    Args:
        db: the agent's journal.
        post: the outbox.
        settings: the command, and how long before it.
        now_ms: the clock.
    """

    def __init__(self, db: Database, post: Post, settings: PowerSettings, now_ms: Callable[[], int]) -> None:
        self._db, self._post, self._settings, self._now_ms = db, post, settings, now_ms
        self._wake = asyncio.Event()
        #: When it goes down, and for which job it was woken; 0 while it does not.
        self._at, self._for = 0, ""

        async def on_woken(_peer: str, envelope: Envelope) -> None:
            await self.woken(body_of(envelope, Woken))

        post.on("woken.v1", on_woken)

    def changed(self) -> None:
        """A job ended, or came."""
        self._wake.set()

    async def woken(self, message: Woken) -> None:
        """The gateway says that it woke this machine."""
        await self._db.write(partial(_keep, message.jobs, self._now_ms()))
        self._wake.set()

    async def run(self) -> None:
        """Go down when it is time, until cancelled."""
        while True:
            self._for = await self._db.read(_may_sleep)
            pause: float | None = None
            if not self._for:
                self._at = 0
            else:
                self._at = self._at or self._now_ms() + int(self._settings.sleep_delay * 1000)
                pause = max(0.0, (self._at - self._now_ms()) / 1000)
                if not pause:
                    await self._go_down()
                    continue
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._wake.wait()
            self._wake.clear()

    async def _go_down(self) -> None:
        end = self._now_ms() + _RECEIPTS_MS
        while await self._post.pending(1) and self._now_ms() < end:  # noqa: ASYNC110 - an outbox has no such event
            await asyncio.sleep(_LOOK_S)
        if not await self._db.read(_may_sleep):  # kept awake, or a job came meanwhile
            return
        argv = self._settings.shutdown_command
        log.info("shutting down", job=self._for, reason="woken for it, and it is over")
        await self._db.write(_forget)
        self._at = 0
        try:
            ran = await run_command(argv, self._for)
            if not ran.ok:
                log.error("not shut down", command=argv[0], exit=ran.exit)
        except OSError as error:
            log.warning("not shut down", command=argv[0], reason=error.strerror)

    def register(self, verbs: Verbs) -> None:
        """Put what the owner may see and say into the socket's table."""
        verbs.add("power.show", "viewer", self._show)
        verbs.add("power.stay", "operator", self._stay)

    async def _show(self, call: Call) -> dict[str, Any]:
        """Whether the machine shuts down by itself: {at, job}; `at` 0 is: it does not."""
        del call
        return {"at": self._at, "job": self._for if self._at else ""}

    async def _stay(self, call: Call) -> dict[str, Any]:
        """Keep the machine awake: what it was woken for is forgotten."""
        was = self._for if self._at else ""
        await self._db.write(_forget)
        log.info("kept awake", by=call.user, job=was)
        self._wake.set()
        return {"job": was}


def _keep(jobs: Sequence[str], now: int, connection: sqlite3.Connection) -> None:
    connection.executemany("INSERT OR IGNORE INTO woken VALUES (?, ?)", [(job, now) for job in jobs])


def _forget(connection: sqlite3.Connection) -> None:
    connection.execute("DELETE FROM woken")


def _may_sleep(connection: sqlite3.Connection) -> str:
    """The job that it was woken for and that lets it sleep, when nothing else is open; "" for none."""
    if any(job.type != "cancel" for job in journal.open_jobs(connection)):
        return ""
    for (name,) in connection.execute("SELECT job FROM woken ORDER BY job").fetchall():
        revisions = journal.revisions(connection, name)
        if revisions and revisions[-1].finished and any(one.options.get(SLEEP_AFTER) is True for one in revisions):
            return str(name)
    return ""
