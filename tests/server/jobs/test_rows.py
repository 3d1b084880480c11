"""Jobs as rows: machine and transaction together."""

from typing import Any

from sqlalchemy import select, text

from tiercast_server.database.tables import orders
from tiercast_server.jobs import rows as job_rows
from tiercast_server.jobs.life import CancelAsked, TimePassed


async def test_orders_are_kept_per_revision(world: Any) -> None:
    await world.package("app", "1")
    await world.join("pc1")
    job = await world.job(targets=("pc1",))
    async with world.region.db.write() as connection:
        row = await job_rows.get(connection, job)
        assert await job_rows.advance(world.region, connection, row, TimePassed()) is not None
        await job_rows.advance(world.region, connection, row, CancelAsked())
        kept = (await connection.execute(select(orders.c.revision, orders.c.type).order_by(orders.c.revision))).all()
        fresh = await job_rows.get(connection, job)
    assert [tuple(row) for row in kept] == [(1, "install"), (2, "cancel")]
    assert (fresh.revision, fresh.cancelling, fresh.state) == (2, True, "open")


async def test_what_is_undone_leaves_neither_job_nor_order(world: Any) -> None:
    await world.package("app", "1")
    await world.join("pc1")
    job = await world.job(targets=("pc1",))
    try:
        async with world.region.db.write() as connection:
            await job_rows.advance(world.region, connection, await job_rows.get(connection, job), CancelAsked())
            raise RuntimeError  # the process dies here  # noqa: TRY301
    except RuntimeError:
        pass
    async with world.region.db.read() as connection:
        row = await job_rows.get(connection, job)
        assert (row.revision, row.cancelling) == (1, False)
        assert await job_rows.counts(connection, job) == {"ordered": 1}
        assert [found.id for found in await job_rows.open_jobs(connection)] == [job]
    assert await world.handover.drain() == 0


async def test_counting_has_an_index_of_its_own(world: Any) -> None:
    query = "SELECT state, count(*) FROM targets WHERE job = 'j' GROUP BY state"
    async with world.region.db.read() as connection:
        if connection.dialect.name == "sqlite":  # PostgreSQL takes what the table's size suggests
            plan = str((await connection.execute(text(f"EXPLAIN QUERY PLAN {query}"))).all())
            assert "COVERING INDEX ix_targets_job_state" in plan
        else:
            names = await connection.execute(text("SELECT indexname FROM pg_indexes WHERE tablename = 'targets'"))
            assert "ix_targets_job_state" in names.scalars().all()
