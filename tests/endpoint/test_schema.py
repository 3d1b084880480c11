"""The agent's database: its steps rise, and what an old one holds is kept."""

from __future__ import annotations

from pathlib import Path

from tiercast_endpoint.jobs import journal
from tiercast_endpoint.jobs.install import Snapshot
from tiercast_endpoint.schema import SCHEMA
from tiercast_protocol.node.database import Database


async def test_a_job_of_before_there_were_two_phases_is_read(tmp_path: Path) -> None:
    numbers = [number for number, _ in SCHEMA]
    assert numbers == sorted(set(numbers))
    old = [step for step in SCHEMA if step[0] <= 10]
    values = (b"r" * 32, bytes.fromhex("81a474797065a7696e7374616c6c"))
    async with Database.open(tmp_path / "agent.db", old) as db:
        await db.write(
            lambda c: c.execute(
                "INSERT INTO job (job, revision, type, package, version, package_revision, root, issued, expires,"
                " cause, state, at, snapshot, programs)"
                " VALUES ('j1',1,'install','app','1',1,?,1,9,'c','staged',1,?,x'90')",
                values,
            )
        )
    async with Database.open(tmp_path / "agent.db", SCHEMA) as db:
        (found,) = await db.read(journal.open_jobs)
    assert (found.told_revision, found.ordered, found.snapshot) == (1, "", Snapshot("install"))
