"""Two sites of simulated endpoints: nothing is lost or done twice, whatever is killed, whoever returns at one moment.

The same as `scripts/bench scale --parts kills` does with a thousand.
"""

from __future__ import annotations

import asyncio

import pytest

from cluster import running
from crowds import Crowds
from field import Field
from kills import kills, returned

SIZE = 60


@pytest.mark.timeout(300)
def test_a_crowds_job_survives_kills_and_a_return_at_one_moment() -> None:
    with running("mosquitto") as region:
        field = Field(region.folder, region, gateways=2)
        field.build()
        field.grow(SIZE)

        async def story() -> None:
            async with Crowds(region.folder / "crowd", region, field.seats) as crowds:
                await crowds.connected(SIZE)
                found = await kills(field, crowds, SIZE, phases={"receipts": (0.02, 0.1)})
                assert (found["lost"], found["doubled"]) == (0, 0)
                found = await returned(field, crowds, SIZE)
                assert (found["lost"], found["doubled"]) == (0, 0)

        asyncio.run(story())
