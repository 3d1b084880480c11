"""Schema steps: complete, and never backwards."""

import contextlib
import sqlite3
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.command import upgrade as upgrade_to
from alembic.runtime.migration import MigrationContext
from sqlalchemy import create_engine

from tiercast_protocol.errors import StateError
from tiercast_server.database import migrate
from tiercast_server.database.engine import Database
from tiercast_server.database.migrate import upgrade
from tiercast_server.database.tables import metadata


def test_the_steps_make_exactly_the_tables(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'r.db'}")
    with engine.begin() as connection:
        upgrade(connection, "r.db")
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()


async def test_one_that_stands_at_the_newest_schema_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    monkeypatch.setattr(migrate.command, "upgrade", lambda *said: steps.append(said[-1]) or upgrade_to(*said))
    for _ in range(2):
        async with Database.open(tmp_path / "r.db"):
            pass
    assert steps == ["head"]


async def test_a_newer_schema_is_refused_and_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "r.db"
    async with Database.open(path):
        pass
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("update alembic_version set version_num = '9999'")
        connection.commit()
    with pytest.raises(StateError) as caught:
        async with Database.open(path):
            pass
    assert "9999" in str(caught.value)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("select version_num from alembic_version").fetchall() == [("9999",)]
