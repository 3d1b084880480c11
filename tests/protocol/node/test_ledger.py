"""The ledger on its disk: added up, kept over restarts, bounded, and patient with a full disk."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from tiercast_protocol.errors import StoreFull
from tiercast_protocol.node import ledger as ledger_module
from tiercast_protocol.node.ledger import CAME, HOUR_MS, SENT, Key, Ledger, Row, open_ledger
from tiercast_protocol.transfer.books import Place

A = Key(SENT, "pc-1", "published", session="a")


async def test_steps_of_an_hour_add_up_and_outlive_the_node(tmp_path: Path) -> None:
    async with open_ledger(tmp_path) as ledger:
        ledger.add(A, 100, frames=1, chunks=2)
        await ledger.write()
        ledger.add(A, 11, frames=1)
        ledger.add(Key(CAME, "top", "useful", job="j1"), 5)
        ledger.add(Key(CAME, "top", "lost"), 0)
        ledger.stand("pc-1", 10, Place(111, 100))
    async with open_ledger(tmp_path) as ledger:
        rows = await ledger.rows()
        assert {(row.key.reason, row.bytes, row.frames, row.chunks) for row in rows} == {
            ("published", 111, 2, 2),
            ("useful", 5, 0, 0),
        }
        assert await ledger.places() == {("pc-1", 10): Place(111, 100)}
        assert [row.key.reason for row in await ledger.rows(link="pc-1")] == ["published"]
        assert [row.key.reason for row in await ledger.rows(job="j1")] == ["useful"]
        assert await ledger.rows(since=rows[0].hour + HOUR_MS) == []
        assert await ledger.rows(before=rows[0].hour) == []
        assert await ledger.rows(before=rows[0].hour + HOUR_MS) == rows
        assert len(await ledger.rows(limit=1)) == 1


async def test_sources_are_asked_when_it_is_time_to_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_module, "WRITE_EVERY", 0.01)
    asked = asyncio.Event()

    def source(ledger: Ledger) -> None:
        if not asked.is_set():
            ledger.add(A, 7)
        asked.set()

    async with open_ledger(tmp_path) as ledger:
        ledger.source(source)
        async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
            running = tasks.create_task(ledger.run())
            await asked.wait()
            while not (rows := await ledger.rows()):  # noqa: ASYNC110 - polled with a deadline
                await asyncio.sleep(0.01)
            running.cancel()
        assert rows[0].bytes == 7


async def test_hours_are_apart_and_the_oldest_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_module, "KEPT_HOURS", 10)
    now = [1000 * HOUR_MS]
    async with open_ledger(tmp_path) as ledger:
        monkeypatch.setattr(ledger, "_now_ms", lambda: now[0])
        for _ in range(15):
            ledger.add(A, 1)
            ledger.stand("pc-1", 10, Place(1, 1))
            await ledger.write()
            now[0] += HOUR_MS
        rows = await ledger.rows()
        assert [row.hour // HOUR_MS for row in rows] == list(range(1004, 1015))
        assert (
            await ledger.totals() == await ledger.totals(side=SENT, link="pc-1") == [Row(1004 * HOUR_MS, A, 11, 0, 0)]
        )
        assert await ledger.totals(side=CAME) == []
        monkeypatch.setattr(ledger_module, "KEPT_ROWS", 3)
        await ledger.write()
        assert len(await ledger.rows()) <= 3
        now[0] += 100 * HOUR_MS
        await ledger.write()
        assert await ledger.rows() == []
        assert await ledger.places() == {}


async def test_a_full_disk_makes_the_steps_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_ledger(tmp_path) as ledger:

        async def full(_unit: object) -> None:
            raise StoreFull(needed=4096, free=0, where="ledger")

        with monkeypatch.context() as patch:
            patch.setattr(ledger._db, "write", full)
            ledger.add(A, 5, frames=1)
            ledger.stand("pc-1", 10, Place(5, 0))
            await ledger.write()
            ledger.add(A, 6, frames=1)
            await ledger.write()
        await ledger.write()
        (row,) = await ledger.rows()
        assert (row.bytes, row.frames) == (11, 2)
        assert await ledger.places() == {("pc-1", 10): Place(5, 0)}


async def test_a_clock_that_steps_by_a_year_loses_no_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_ledger(tmp_path) as ledger:
        key = Key(SENT, "a", "first")
        ledger.add(key, 5)
        await ledger.write()
        later = time.time_ns() + 365 * 86_400 * 1_000_000_000
        monkeypatch.setattr(time, "time_ns", lambda: later)
        monkeypatch.setattr(time, "time", lambda: later / 1e9)
        ledger.add(key, 7)
        await ledger.write()
        assert [row.bytes for row in await ledger.totals()] == [12]
