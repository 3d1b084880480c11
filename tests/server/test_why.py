"""`why` at the server: out of rows, grouped for a job, a chain for a target, never empty for what is not final."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

import pytest
from sqlalchemy import insert, update

from tiercast_gateway.why.reasons import encoded
from tiercast_protocol.content.jobs.reason import Reason, because
from tiercast_protocol.errors import UsageError
from tiercast_protocol.wire.messages import StatusRecord
from tiercast_server.database import tables
from tiercast_server.jobs.checks import Request
from tiercast_server.jobs.life import GRACE_MS
from tiercast_server.why import JobWhy, explain


class Told:
    """What the server says of its children."""

    def __init__(self, world: Any) -> None:
        self.said: Mapping[str, Reason] = {}
        self.why = JobWhy(world.region, world.tree, lambda _job: self.said)


@pytest.fixture
def told(world: Any) -> Told:
    return Told(world)


async def a_job(world: Any, *, targets: tuple[str, ...] = ("pc1", "pc2")) -> str:
    await world.package("app", "1")
    await world.join("berlin", role="gateway")
    for name in targets:
        await world.join(name, parent="berlin")
    job: str = await world.job(targets=targets)
    return job


def hop(job: str, why: str) -> StatusRecord:
    return StatusRecord(
        job=job, revision=1, target="berlin", attempt=0, seq=1, state="relaying", at=1, detail=why, total=9
    )


async def codes(told: Told, job: str, node: str) -> list[tuple[str, str]]:
    return [(reason["code"], reason["node"]) for reason in (await told.why.target(job, node))["chain"]]


async def test_reasons_of_all_tiers_are_one_chain(world: Any, told: Told) -> None:
    job = await a_job(world)
    assert await codes(told, job, "pc1") == [("order.way", "pc1")]
    rate = because("rate", node="berlin", peer="pc1", rate=5)
    await world.intake.take([hop(job, encoded({"pc1": rate}))])
    told.said = {"berlin": because("window.shut", node="server", peer="berlin", window="daily", since=7)}
    assert await codes(told, job, "pc1") == [("window.shut", "server"), ("rate", "berlin"), ("order.way", "pc1")]
    found = await told.why.target(job, "pc1")
    assert (found["way"], found["chain"][0]["since"], found["result"]) == (["berlin", "server"], 7, {})
    whole = await told.why.job(job)
    assert [(row["code"], row["count"], row["places"]) for row in whole["reasons"]] == [("window.shut", 2, ["server"])]
    assert (whole["targets"], whole["waiting"], whole["ended"]) == (2, 2, [])
    on_the_way = await told.why.target(job, "berlin")
    assert [reason["code"] for reason in on_the_way["chain"]] == ["window.shut"]
    own = await told.why.target(job, "server")
    assert (own["target"], own["chain"], own["waiting"]) == ("server", [], 2), (
        "where the window is said, it is shown too"
    )
    assert {(row["code"], *row["places"]) for row in own["reasons"]} == {("window.shut", "server")}
    assert on_the_way["waiting"] == 2


async def test_where_a_machine_is_counts_not_where_it_belongs(world: Any, told: Told) -> None:
    job = await a_job(world, targets=("pc1",))
    await world.intake.take([hop(job, encoded({"pc1": because("away", node="berlin", peer="pc1")}))])
    assert (await codes(told, job, "pc1"))[0] == ("away", "berlin")
    async with world.region.db.write() as connection:
        await connection.execute(update(tables.placings).where(tables.placings.c.node == "pc1").values(parent="server"))
    assert await codes(told, job, "pc1") == [("order.way", "pc1")]


async def test_what_has_ended_has_a_result(world: Any, told: Told) -> None:
    job = await a_job(world)
    await world.intake.take([world.record(job, "pc1", "failed", code="disk.short", detail="9 bytes are needed")])
    found = await told.why.target(job, "pc1")
    assert (found["chain"], found["result"]["code"], found["result"]["detail"]) == (
        [],
        "disk.short",
        "9 bytes are needed",
    )
    whole = await told.why.job(job)
    assert (whole["waiting"], [row["code"] for row in whole["ended"]]) == (1, ["disk.short"])


async def test_what_holds_for_the_whole_job_is_said(world: Any, told: Told) -> None:
    await world.package("app", "1")
    await world.join("pc1")
    job = (await world.jobs.create(Request("install", "app", "anna", ("pc1",))))["job"]
    assert (await codes(told, job, "pc1"))[0][0] == "order.handing"
    await world.handover.drain()
    assert (await codes(told, job, "pc1"))[0][0] == "order.way"
    await world.jobs.cancel(job)
    assert (await codes(told, job, "pc1"))[0][0] == "cancel.way"
    other = await world.job(targets=("pc1",))
    found = (await told.why.job(other))["expires"]
    async with world.region.db.write() as connection:
        await connection.execute(update(tables.jobs).values(cancelling=False, expires=1))
    reason = (await told.why.target(job, "pc1"))["chain"][0]
    assert (reason["code"], reason["until"]) == ("receipts", 1 + GRACE_MS)
    assert found > 1


async def test_who_has_not_joined_is_waited_for(world: Any, told: Told) -> None:
    await world.package("app", "1")
    await world.invite("pc9")
    job = await world.job(targets=("pc9",))
    assert await codes(told, job, "pc9") == [("node.not-joined", "pc9")]
    rows = (await world.view.show(job))["targets"]
    assert (rows[0]["code"], rows[0]["detail"]) == ("node.not-joined", "pc9 was invited and has not joined yet")


async def test_what_is_not_known_is_said(world: Any, told: Told) -> None:
    job = await a_job(world)
    with pytest.raises(UsageError, match=r"job.unknown|There is no job"):
        await told.why.job("j99")
    with pytest.raises(UsageError, match="no target of"):
        await told.why.target(job, "nobody")


def test_rows_of_a_job_say_it_in_words() -> None:
    hops: list[dict[str, Any]] = [
        {"node": "low", "why": '[["rate", {"rate": 5}, {"pc": 1}]]'},
        {"node": "mid", "why": "?"},
    ]
    rows = [
        {"node": "pc", "state": state, "code": code, "detail": detail}
        for state, code, detail in (
            ("fetching", "", ""),
            ("fetching", "suspended", '{"by":"anna"}'),
            ("failed", "disk.short", "9"),
            ("done", "", ""),
            ("installing", "", ""),
        )
    ]
    explain(rows, {"pc": "low", "low": "mid"}, hops)
    assert hops == [{"node": "low"}, {"node": "mid"}]
    assert [(row["code"], row["detail"]) for row in rows] == [
        ("rate", "5 bytes per second at most"),
        ("suspended", "suspended by anna"),
        ("disk.short", "9"),
        ("", ""),
        ("", ""),
    ]


async def test_ten_thousand_targets_are_grouped_soon(world: Any, told: Told) -> None:
    job = await a_job(world, targets=("pc1",))
    gateways = [f"site-{n:02}" for n in range(20)]
    usual = {"role": "endpoint", "state": "joined", "invited": 1, "url": "", "generation": 1}
    names = [(f"m-{n:05}", gateways[n % 20]) for n in range(10_000)]
    async with world.region.db.write() as connection:
        await connection.execute(
            insert(tables.nodes),
            [{**usual, "name": g, "parent": "server", "role": "gateway"} for g in gateways]
            + [{**usual, "name": name, "parent": parent} for name, parent in names],
        )
        await connection.execute(
            insert(tables.targets),
            [{"job": job, "node": n, "parent": p, "ordered": 1, "state": "ordered", "at": 1} for n, p in names],
        )
        said = {
            g: encoded({n: because("away", node=g, peer=n, since=9) for n, p in names if p == g}) for g in gateways[:10]
        }
        await connection.execute(
            insert(tables.hops),
            [
                {"job": job, "node": g, "state": "held", "why": why, "rate": 0}
                | dict.fromkeys(("revision", "attempt", "seq", "done", "total", "at"), 1)
                for g, why in said.items()
            ],
        )
    began = time.process_time()
    found = await told.why.job(job)
    took = time.process_time() - began
    assert [(row["code"], row["count"]) for row in found["reasons"]] == [("order.way", 5001), ("away", 5000)]
    assert len(json.dumps(found)) < 5000
    assert took < 2.0, "ten thousand targets are looked at in a fraction of a second; so much is a mistake"
