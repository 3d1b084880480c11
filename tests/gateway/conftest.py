"""Parts of a sub-tree without broker and network, for the tests of single rooms."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tiercast_gateway.children.routes import Routes
from tiercast_gateway.tables import SCHEMA
from tiercast_protocol.node.chunks.disk import DiskStore
from tiercast_protocol.node.database import Database


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[Database]:
    async with Database.open(tmp_path / "node.db", SCHEMA) as database:
        yield database


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[DiskStore]:
    async with DiskStore.open(tmp_path / "depot", reserve=0) as disk:
        yield disk


@pytest.fixture
def routes(db: Database) -> Routes:
    return Routes(db)
