"""What performs steps is put together by the settings."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, cast

import pytest
from tests.endpoint.lab import Agent

from tiercast_endpoint.halves.halves import Halves, SeenRoot
from tiercast_endpoint.halves.hands import Hands
from tiercast_endpoint.jobs.restart import Restart
from tiercast_endpoint.settings import Settings


@pytest.mark.parametrize("socket", ["", "/run/x.sock"])
async def test_the_root_half_is_asked_where_there_is_one(agent: Agent, tmp_path: Path, socket: str) -> None:
    settings = Settings(install_root=tmp_path, root_socket=socket)
    upstream = cast("Any", agent.fetcher)
    hands = Hands(agent.folder, settings, SeenRoot(tmp_path / "not" / "there"), agent.db, upstream)
    materials = hands.materials(agent.store, agent.materials.placing)
    assert materials.free() > 0

    class Looks:
        now = afresh = staticmethod(asyncio.sleep)

    performer, halves = hands.performer(materials, cast("Any", Looks()), agent.watching, Restart(), lambda: 1)
    assert performer is not None
    assert isinstance(halves, Halves) is bool(socket)
