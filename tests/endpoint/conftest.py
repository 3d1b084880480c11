"""Fixtures of the endpoint's tests; what they are made of stands in `lab`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.endpoint.lab import Agent, Region, agent_over

from tiercast_protocol.content.trust.keys import PrivateKey


@pytest.fixture
def region() -> Region:
    return Region(PrivateKey.generate(), PrivateKey.generate())


@pytest.fixture
async def agent(tmp_path: Path, region: Region) -> AsyncIterator[Agent]:
    async with agent_over(tmp_path / "agent", region) as agent:
        yield agent
