"""A PostgreSQL database: one server at a time, durable, no password in our files, and messages that say what to do."""

import asyncio

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, text
from tests.support.postgres import Postgres

from tiercast_protocol.errors import StateError
from tiercast_server.database import postgres as product
from tiercast_server.database.engine import Database
from tiercast_server.database.tables import metadata


async def refused(where: str) -> str:
    with pytest.raises(StateError) as caught:
        async with Database.open(where):
            pass
    return str(caught.value)


async def test_the_steps_make_exactly_the_tables(postgres: Postgres) -> None:
    def differences(connection: Connection) -> list[object]:
        return list(compare_metadata(MigrationContext.configure(connection), metadata))

    with postgres.database(ground=False) as where:
        async with Database.open(where) as db, db.write() as connection:
            assert await connection.run_sync(differences) == []


async def test_a_second_server_waits_a_moment_and_is_refused(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(product, "_LOCK_S", 1)
    with postgres.database() as where:
        async with Database.open(where):
            assert "another server has it open" in await refused(where)
        async with Database.open(where):
            pass


async def test_who_waits_gets_it_when_the_first_one_ends(postgres: Postgres) -> None:
    with postgres.database() as where:
        opened = asyncio.Event()

        async def second() -> None:
            async with Database.open(where):
                opened.set()

        async with asyncio.TaskGroup() as tasks, Database.open(where) as db, db.read() as connection:
            tasks.create_task(second())
            waiting = text("select count(*) from pg_locks where locktype = 'advisory' and not granted")
            async with asyncio.timeout(60):
                while not (await connection.execute(waiting)).scalar_one():  # noqa: ASYNC110 - in another process
                    await asyncio.sleep(0.01)
            assert not opened.is_set()
        assert opened.is_set()


async def test_a_connection_that_was_cut_is_made_anew(postgres: Postgres) -> None:
    with postgres.database() as where:
        async with Database.open(where) as db:
            postgres.sql(
                "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'tiercast-server'"
            )
            async with db.write() as connection:
                assert (await connection.execute(text("show synchronous_commit"))).scalar_one() == "on"
                held = text(
                    "select count(*) from pg_locks where locktype = 'advisory' and granted and pid = pg_backend_pid()"
                )
                assert (await connection.execute(held)).scalar_one() == 1


async def test_a_newer_schema_is_refused_and_not_touched(postgres: Postgres) -> None:
    with postgres.database() as where:
        name = where.split("/")[3].partition("?")[0]
        postgres.sql("update alembic_version set version_num = '9999'", database=name)
        assert "9999" in await refused(where)
        assert postgres.sql("select version_num from alembic_version", database=name) == "9999"


async def test_a_server_that_syncs_nothing_is_refused(postgres: Postgres) -> None:
    with postgres.database() as where:
        postgres.sql("alter system set full_page_writes = off")
        postgres.sql("select pg_reload_conf()")
        try:
            async with asyncio.timeout(60):
                while postgres.sql("show full_page_writes") != "off":  # noqa: ASYNC110 - in another process
                    await asyncio.sleep(0.01)
            assert "full_page_writes is off" in await refused(where)
        finally:
            postgres.sql("alter system reset full_page_writes")
            postgres.sql("select pg_reload_conf()")
            async with asyncio.timeout(60):
                while postgres.sql("show full_page_writes") != "on":  # noqa: ASYNC110 - in another process
                    await asyncio.sleep(0.01)


async def test_what_can_not_be_reached_says_what_to_do(postgres: Postgres) -> None:
    assert "createdb" in await refused(postgres.address("nothing_here"))
    assert "Is the PostgreSQL server up" in await refused("postgresql://nobody@/x?host=/nowhere/at/all")


@pytest.mark.parametrize("where", ["postgresql://u:secret@h/x", "mysql://u@h/x", "postgresql://u@h", "", "://"])
async def test_addresses_that_can_not_be(where: str) -> None:
    said = await refused(where)
    assert "postgresql://USER@HOST/NAME" in said or "PGPASSFILE" in said
    assert "secret" not in said
