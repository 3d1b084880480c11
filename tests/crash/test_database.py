"""Power cuts after a kill: what the next process reads from the log must not vanish again."""

from pathlib import Path
from typing import Any

import pytest
from tests.crash.campaign import Violation, campaign
from tests.crash.recording import RecordingDisk, connect_to

from tiercast_protocol.node.database import Database

SCHEMA = [(1, "CREATE TABLE t (n)")]
PATH = Path("/db")


def numbers(connection: Any) -> list[int]:
    return [row[0] for row in connection.execute("SELECT n FROM t ORDER BY n")]


async def story(disk: RecordingDisk, last_steps: str) -> None:
    connect = connect_to(disk)
    async with Database.open(PATH, SCHEMA, connect=connect, readers=0) as db:
        await db.write(lambda c: c.execute("INSERT INTO t VALUES (1)"))
    killed = connect(PATH)
    killed.execute("PRAGMA synchronous=FULL")
    disk.ignored = frozenset({"sqlite:log"})
    killed.execute("INSERT INTO t VALUES (2)")
    disk.ignored = frozenset({last_steps})
    async with Database.open(PATH, SCHEMA, connect=connect_to(disk), readers=0) as db:
        for n in await db.read(numbers):
            disk.fact(n)


async def check(folder: Path, facts: list[Any]) -> None:
    async with Database.open(folder / "db", SCHEMA) as db:
        there = await db.read(numbers)
    assert {n for (n,) in facts} <= set(there)


async def test_what_a_killed_process_committed_and_its_heir_read_is_safe(tmp_path: Path) -> None:
    disk = RecordingDisk()
    await story(disk, "")
    assert (2,) in disk.facts(len(disk.operations))
    await campaign(disk, tmp_path, check, seeds=3)


async def test_and_that_needs_the_syncs_of_the_fold(tmp_path: Path) -> None:
    disk = RecordingDisk()
    await story(disk, "sqlite:database")
    with pytest.raises(Violation):
        await campaign(disk, tmp_path, check, seeds=3)
