"""Which packages were tested, and that only such are ordered where the region wants it (docs/packages.md, "Testing").

Rules
- A test is a job that installed this very content on one machine, ended well with a signed receipt, and another that
  took it back, likewise.  What was there already tells nothing, nor does what was skipped.
- What was written down stays as long as the package; a test that is done again replaces it.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from tiercast_protocol.errors import UsageError
from tiercast_server.database.tables import package_tests, targets
from tiercast_server.jobs import rows as job_rows
from tiercast_server.jobs.rows import Job
from tiercast_server.packages.packages import Package, find_sealed
from tiercast_server.region import Region

_NOTHING = ("unchanged", "condition.skipped", "absent")


async def check_tested(connection: AsyncConnection, package: Package) -> None:
    """Refuse a package that was not tested.

    Raises:
        UsageError: package.untested.
    """
    if not package.root or await of(connection, package) is not None:
        return
    raise UsageError(
        code="package.untested",
        what=f"{package.reference} was not tested, and this region orders tested packages only.",
        todo=f"`tiercast package test {package.name}={package.version} --on NODE` tests it on one machine."
        " Nothing was done.",
    )


async def of(connection: AsyncConnection, package: Package) -> dict[str, Any] | None:
    """{job, undo, node, by, at} of the package's test; None where there was none."""
    query = select(package_tests).where(package_tests.c.package == package.id)
    row = (await connection.execute(query)).mappings().one_or_none()
    if row is None:
        return None
    return {"job": row["job"], "undo": row["undo"], "node": row["node"], "by": row["tested_by"], "at": row["at"]}


async def record(region: Region, reference: str, job: str, undo: str, by: str) -> dict[str, Any]:
    """Write a test down, once its jobs prove it.

    Raises:
        UsageError: package.*, job.unknown, test.job, test.result.
    """
    async with region.db.write() as connection:
        package = await find_sealed(connection, reference)
        installed, taken_back = await job_rows.get(connection, job), await job_rows.get(connection, undo)
        if installed.type != "install" or installed.root != package.root:
            raise _wrong("test.job", f"{job} did not install {package.reference}")
        if taken_back.package != package.name or taken_back.number <= installed.number:
            raise _wrong("test.job", f"{undo} did not take {package.reference} back")
        node = await _proved(connection, installed)
        if await _proved(connection, taken_back) != node:
            raise _wrong("test.job", f"{job} and {undo} are of different machines")
        await connection.execute(delete(package_tests).where(package_tests.c.package == package.id))
        row = {"job": job, "undo": undo, "node": node, "tested_by": by, "at": region.clock()}
        await connection.execute(insert(package_tests).values(package=package.id, **row))
    return {"package": package.reference, "job": job, "undo": undo, "node": node}


async def _proved(connection: AsyncConnection, job: Job) -> str:
    """The one machine on which the job ended well, by its own signed word."""
    query = select(targets.c.node, targets.c.state, targets.c.code, targets.c.proved).where(targets.c.job == job.id)
    rows = (await connection.execute(query)).all()
    if len(rows) != 1:
        raise _wrong("test.job", f"{job.id} has {len(rows)} targets; a test is on one machine")
    (row,) = rows
    if row.state != "done" or not row.proved or row.code in _NOTHING:
        raise _wrong("test.result", f"{job.id} ended {row.state} {row.code}".rstrip() + f" on {row.node}")
    return str(row.node)


def _wrong(code: str, what: str) -> UsageError:
    return UsageError(code=code, what=f"{what}.", todo="Test it with `tiercast package test`. Nothing was written.")
