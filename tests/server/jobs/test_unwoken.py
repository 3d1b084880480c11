"""A machine that was not woken has that as its result when its job's time is over, unless it said something newer."""

from __future__ import annotations

from typing import Any

from tiercast_gateway.why.reasons import encoded
from tiercast_protocol.content.jobs.reason import because
from tiercast_server.jobs import unwoken
from tiercast_server.jobs.life import GRACE_MS

BEGAN = 1_700_000_000_000


def failed(rounds: int = 1) -> Any:
    return because("wake.failed", until=BEGAN + 9_000, tries=3, began=BEGAN, rounds=rounds)


def heard(world: Any, job: str, seq: int, **why: Any) -> Any:
    """What the gateway says of its children."""
    return world.record(job, "berlin", "relaying", attempt=0, seq=seq, detail=encoded(why))


async def over(world: Any, job: str) -> dict[str, tuple[str, str, str]]:
    """Its time passes; what each target came to."""
    shown = await world.view.show(job)
    world.now[0] = shown["expires"] + GRACE_MS
    await world.jobs.expire()
    rows = (await world.view.show(job))["targets"]
    return {row["node"]: (row["state"], row["code"], row["detail"]) for row in rows}


async def machines(world: Any) -> str:
    await world.package("app", "1")
    await world.join("berlin", role="gateway")
    for name in ("pc1", "pc2", "pc3", "pc4"):
        await world.join(name, parent="berlin")
    job: str = await world.job(targets=("pc1", "pc2", "pc3", "pc4"))
    return job


async def test_who_did_not_wake_ends_so_and_others_do_not(world: Any) -> None:
    job = await machines(world)
    away = because("away", node="berlin", peer="pc2")
    why = {"pc1": failed(), "pc2": away, "pc3": failed(), "nobody": failed()}
    await world.intake.take([heard(world, job, 1, **why)])
    world.now[0] += 5_000
    await world.intake.take([world.record(job, "pc3", "staged")])  # it came all the same
    why = {"pc1": failed(2), "pc2": away, "pc3": away, "pc4": because("wake.queued")}
    await world.intake.take([heard(world, job, 2, **why)])
    await world.intake.take([heard(world, job, 3)])  # it is over there
    ended = await over(world, job)
    assert ended["pc1"][:2] == ("expired", "job.unwoken")
    assert ended["pc1"][2].startswith("pc1 did not wake: 3 packets since")
    assert ended["pc1"][2].endswith("2 times in all")
    assert [ended[name][1] for name in ("pc2", "pc3", "pc4")] == ["job.expired"] * 3
    await world.intake.take([world.record(job, "pc1", "done")])
    (row,) = [row for row in (await world.view.show(job))["targets"] if row["node"] == "pc1"]
    assert row["state"] == "done", "what comes late counts"


async def test_the_servers_own_children_too(world: Any) -> None:
    job = await machines(world)
    await world.intake.unwoken("pc2", {job: failed().at(node="server", peer="pc2"), "j9-none": failed()})
    await world.intake.unwoken("pc1", {job: because("away", node="server", peer="pc1")})
    ended = await over(world, job)
    assert (ended["pc2"][1], ended["pc1"][1]) == (unwoken.CODE, "job.expired")
