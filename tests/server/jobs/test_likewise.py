"""Counted by the database, a job's reasons are the same as counted one by one."""

from __future__ import annotations

from typing import Any

import pytest

from tiercast_gateway.why.reasons import encoded
from tiercast_protocol.content.jobs.reason import because
from tiercast_protocol.wire.messages import StatusRecord
from tiercast_server.jobs import likewise
from tiercast_server.why import JobWhy


async def test_the_reasons_of_many_are_those_of_each(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"pc{number}" for number in range(12)]
    await world.package("app", "1")
    for site in ("berlin", "paris"):
        await world.join(site, role="gateway")
    for number, name in enumerate(names):
        await world.join(name, parent=("berlin", "paris", "server")[number % 3])
    job = await world.job(targets=tuple(names))
    away = because("away", node="berlin", peer="pc3", since=5)
    hop = StatusRecord(
        job=job, revision=1, target="berlin", attempt=0, seq=1, state="relaying", at=1, detail=encoded({"pc3": away})
    )
    words = [world.record(job, name, "fetching") for name in names[:5]]
    words += [world.record(job, name, "staged", code="time.install", detail='{"until":9}') for name in names[5:9]]
    await world.intake.take([hop, *words, world.record(job, "pc11", "done")])
    why = JobWhy(world.region, world.tree, lambda _job: {"paris": because("rate", node="server", peer="paris", rate=5)})

    def compared(found: dict[str, Any]) -> dict[str, Any]:
        rows = {
            row["code"]: {k: v for k, v in row.items() if k not in {"examples", "places"}} for row in found["reasons"]
        }
        return {**found, "reasons": rows}

    each = await why.job(job), await why.job(job, "paris")
    monkeypatch.setattr(likewise, "FEW", 0)
    alike = await why.job(job), await why.job(job, "paris")
    assert [compared(found) for found in alike] == [compared(found) for found in each]
    assert alike[0]["waiting"] == len(names) - 1
    for counted, by_one in zip(alike[0]["reasons"], each[0]["reasons"], strict=True):
        assert set(counted["examples"]) <= set(names)
        assert counted["examples"][0] == by_one["examples"][0]
