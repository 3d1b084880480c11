"""What comes up the tree: believed with a receipt, counted once."""

from typing import Any

import msgspec
import pytest

from tiercast_protocol.content.trust.keys import PrivateKey
from tiercast_protocol.wire.messages import StatusRecord


@pytest.fixture
async def job(world: Any) -> str:
    await world.package("app", "1")
    for name in ("pc1", "pc2"):
        await world.join(name)
    await world.join("gw", "gateway")
    made: str = await world.job(targets=("pc1", "pc2"))
    return made


async def test_progress_then_done(world: Any, job: str) -> None:
    await world.intake.take([world.record(job, "pc1", "fetching", done=10, total=100)])
    target = (await world.view.show(job))["targets"][0]
    assert (target["state"], target["done"], target["total"], target["proved"]) == ("fetching", 10, 100, False)
    await world.intake.take([world.record(job, "pc1", "done"), world.record(job, "pc2", "failed")])
    shown = await world.view.show(job)
    assert (shown["state"], shown["counts"]) == ("failed", {"done": 1, "failed": 1})
    assert shown["closed"] == world.now[0]
    receipt = await world.view.receipt(job, "pc1")
    assert (receipt["state"], receipt["node"], receipt["programs"]) == ("done", "pc1", [])


async def test_the_same_record_twice_gives_nothing(world: Any, job: str) -> None:
    done = world.record(job, "pc1", "done")
    assert await world.intake.take([done, done]) == 1
    assert await world.intake.take([done]) == 0
    assert world.intake.refused == 0


@pytest.mark.parametrize("change", ["signature", "receipt", "state", "seq", "key"])
async def test_a_final_state_that_its_target_did_not_sign_is_not_taken(world: Any, job: str, change: str) -> None:
    done = world.record(job, "pc1", "done")
    forged = {
        "signature": lambda: msgspec.structs.replace(done, signature=bytes(64)),
        "receipt": lambda: msgspec.structs.replace(done, receipt=b"", signature=b""),
        "state": lambda: msgspec.structs.replace(done, state="failed"),
        "seq": lambda: msgspec.structs.replace(done, seq=done.seq + 1),
        "key": lambda: _signed_by_another(world, job),
    }[change]()
    assert await world.intake.take([forged]) == 0
    assert world.intake.refused == 1
    assert (await world.view.show(job))["targets"][0]["state"] == "ordered"


def _signed_by_another(world: Any, job: str) -> StatusRecord:
    right = world.nodes["pc1"].key
    world.nodes["pc1"].key = PrivateKey.generate()
    forged: StatusRecord = world.record(job, "pc1", "done")
    world.nodes["pc1"].key = right
    return forged


async def test_nobody_makes_rows_for_what_is_not_ours(world: Any, job: str) -> None:
    strange = [
        world.record("j9-0000", "pc1", "done"),
        world.record(job, "pc1", "done", revision=7),
        world.record(job, "gw", "done"),
        msgspec.structs.replace(world.record(job, "pc1", "fetching"), state="relaying"),
    ]
    assert await world.intake.take(strange) == 0
    shown = await world.view.show(job)
    assert (len(shown["targets"]), shown["hops"]) == (2, [])


async def test_hops_and_their_rate(world: Any, job: str) -> None:
    await world.intake.take([world.record(job, "gw", "relaying", done=0, total=1000)])
    world.now[0] += 500
    await world.intake.take([world.record(job, "gw", "relaying", done=500, total=1000)])
    (hop,) = (await world.view.show(job))["hops"]
    assert (hop["node"], hop["state"], hop["done"], hop["total"], hop["rate"]) == ("gw", "relaying", 500, 1000, 1000)
    old = world.record(job, "gw", "relaying", seq=1, done=1)
    assert await world.intake.take([old]) == 0
