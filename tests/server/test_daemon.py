"""The server as a process: starts, answers, is killed, goes on."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy import func, select
from tests.support.postgres import Postgres

from tiercast_protocol.errors import StateError, UsageError
from tiercast_protocol.node.control.client import connect
from tiercast_protocol.node.lifecycle import StateLock
from tiercast_protocol.node.places import place
from tiercast_protocol.wire.messages import Dismissed
from tiercast_server.database.engine import Database
from tiercast_server.database.tables import handovers
from tiercast_server.founding import DATABASE_FILE, found_region
from tiercast_server.handover import put


@pytest.fixture
async def folder(tmp_path: Path) -> Path:
    """A region's state folder."""
    made = tmp_path / "s"
    await found_region(place("server", made), region="r", server="server", listen="", advertise="", broker="embedded")
    return made


async def start(folder: Path) -> asyncio.subprocess.Process:
    """A server that serves."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tiercast_server", "run", "--state", str(folder),
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert process.stderr is not None
    async with asyncio.timeout(60):
        while b'"ready"' not in (line := await process.stderr.readline()):
            assert line, "it ended"
    return process


@asynccontextmanager
async def running(folder: Path, end: signal.Signals) -> AsyncIterator[asyncio.subprocess.Process]:
    """A server that is ended by `end`."""
    process = await start(folder)
    try:
        yield process
    finally:
        process.send_signal(end)
        async with asyncio.timeout(60):
            _, _ = await process.communicate()


async def test_it_answers_and_ends_in_order(folder: Path) -> None:
    async with running(folder, signal.SIGTERM) as process:
        async with connect(place("server", folder).socket) as client:
            status = await client.call("status")
            assert (status["name"], status["region"], status["role"], status["pid"]) == (
                "server", "r", "server", process.pid,
            )  # fmt: skip
            with pytest.raises(UsageError) as caught:
                await client.call("job.show", job="j1")
            assert caught.value.code == "job.unknown"
        with pytest.raises(StateError, match=str(process.pid)), StateLock(folder):
            pass
    assert process.returncode == 0


async def test_what_was_decided_before_a_kill_is_told_by_the_next_start(folder: Path) -> None:
    async with running(folder, signal.SIGKILL), connect(place("server", folder).socket) as client:
        invited = await client.call("node.invite", name="pc1", role="endpoint", parent="", ttl_s=60)
        assert invited["url"].startswith("mqtt://")
    async with Database.open(folder / DATABASE_FILE) as db, db.write() as connection:
        await put(connection, Dismissed(name="nobody"))
    async with running(folder, signal.SIGTERM):
        async with connect(place("server", folder).socket) as client:
            assert [node["name"] for node in await client.call("node.list")] == ["server", "pc1"]
        async with Database.open(folder / DATABASE_FILE) as db, asyncio.timeout(60):
            while await _waiting(db):  # noqa: ASYNC110 - the event is in another process
                await asyncio.sleep(0.01)


async def _waiting(db: Database) -> int:
    async with db.read() as connection:
        left: int = (await connection.execute(select(func.count()).select_from(handovers))).scalar_one()
        return left


async def test_a_region_whose_records_lie_at_a_database_server(tmp_path: Path, postgres: Postgres) -> None:
    folder, other = tmp_path / "s", tmp_path / "other"
    with postgres.database(ground=False) as url:
        common = {"server": "server", "listen": "", "advertise": "", "broker": "embedded", "database": url}
        await found_region(place("server", folder), region="r", **common)
        with pytest.raises(StateError, match="already holds the region 'r'"):
            await found_region(place("server", other), region="q", **common)
        async with running(folder, signal.SIGKILL), connect(place("server", folder).socket) as client:
            await client.call("node.invite", name="pc1", role="endpoint", parent="", ttl_s=60)
        async with running(folder, signal.SIGTERM), connect(place("server", folder).socket) as client:
            assert [node["name"] for node in await client.call("node.list")] == ["server", "pc1"]
        assert not (folder / DATABASE_FILE).exists()
