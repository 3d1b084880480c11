"""The breakers of a sub-tree: counted, held, said, opened, and kept over a kill."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from tests.support.hop import FakeAbove, admitted, gateway_node, order_for, parent_node, until

from tiercast_gateway.subtree import SubTree
from tiercast_protocol.content.jobs import breaker as b
from tiercast_protocol.content.trust.keys import PrivateKey
from tiercast_protocol.errors import SignatureInvalid, UsageError
from tiercast_protocol.wire.messages import Status, StatusRecord
from tiercast_protocol.wire.site import BreakersOpened, BreakerTold, HeldRollout, StartsHeld

KEY, OWN = PrivateKey.generate(), PrivateKey.generate()
ROOT = b"r" * 32
OF_ROLLOUT: dict[str, str | int | bool] = {b.ROLLOUT: "r1-ab12", b.SITE_NUMBER: 1}


def site(folder: Path, above: FakeAbove) -> Any:
    return parent_node(folder, children=["a", "b"], key=KEY, own_key=OWN, name="berlin", above=above)


async def order(tree: SubTree, *names: str, job: str = "j1", **more: Any) -> None:
    await tree.take_order(order_for(KEY, dict.fromkeys(names, b"k" * 32), root=ROOT, job=job, **more), job)


async def ends(tree: SubTree, target: str, state: str, job: str = "j1") -> None:
    record = StatusRecord(job=job, revision=1, target=target, attempt=1, seq=9, state=state, at=1)
    await tree.statuses.take(target, Status(records=[record]))


async def waiting(tree: SubTree, kind: str) -> list[str]:
    return [one.peer for one in await tree.post.pending() if one.kind == kind]


async def come(tree: SubTree, kind: str, *peers: str) -> None:
    """Wait until messages of this kind lie in the outbox for these, and no others."""
    async with asyncio.timeout(60):
        while sorted(await waiting(tree, kind)) != list(peers):  # noqa: ASYNC110 - the outbox sets no event
            await asyncio.sleep(0.005)


def told(above: FakeAbove) -> list[b.Trip]:
    found = [message for message, _ in above.said if isinstance(message, BreakerTold)]
    return [b.open_trip(one.data, one.signature, OWN.public) for one in found]


def word(again: int, key: PrivateKey = KEY, region: str = "test") -> BreakersOpened:
    data, signature = b.sign_again(b.Again(region=region, epoch=1, rollout="r1-ab12", again=again), key)
    return BreakersOpened(data=data, signature=signature)


async def test_a_bad_package_is_stopped_with_nobody_above_and_stays_so_after_a_kill(tmp_path: Path) -> None:
    above = FakeAbove(parent="top", connected=False)
    async with site(tmp_path, above) as tree:
        await order(tree, "a", "b", options=OF_ROLLOUT)
        assert await waiting(tree, "order.v1") == ["a", "b"]
        await ends(tree, "a", "failed")
        await until(lambda: tree.breakers.stopped().keys() == {"j1"})
        await until(lambda: len(told(above)) == 1)
        (reason,) = tree.breakers.stopped().values()
        assert (reason.code, reason.get("have"), reason.get("limit")) == ("breaker.open", "1 of 2", "1")
        await come(tree, "order.v1")
        assert await waiting(tree, "order.v1") == [], "what nobody acknowledged is taken back"
        await come(tree, "starts.held.v1", "a", "b")
        assert ("j1", None) in tree.steering.now.silent, "no chunk of it goes down"
        assert (await tree.orders.awaited())["j1"] == ["b"]
    async with site(tmp_path, above) as tree:
        assert tree.breakers.stopped().keys() == {"j1"}
        await order(tree, "b", job="j2", options=OF_ROLLOUT)
        assert await waiting(tree, "order.v1") == [], "a later wave stays here too"
        (trip,) = told(above)
        assert (trip.shut, trip.bad, trip.total, trip.limit) == (True, 1, 2, "1")
        with pytest.raises(SignatureInvalid):
            await tree.breakers.opened(word(1, PrivateKey.generate()))
        with pytest.raises(SignatureInvalid):
            await tree.breakers.opened(word(1, region="other"))
        await tree.breakers.opened(word(1))
        assert tree.breakers.stopped() == {}
        assert await waiting(tree, "order.v1") == ["b", "b"]
        await until(lambda: [trip.shut for trip in told(above)] == [True, False])
        await ends(tree, "b", "failed", "j2")
        await until(lambda: tree.breakers.stopped().keys() == {"j1"})


async def test_what_failed_and_was_not_counted_before_a_kill_is_counted_at_the_start(tmp_path: Path) -> None:
    above = FakeAbove(parent="top")
    async with site(tmp_path, above) as tree:
        await order(tree, "a", "b", options=OF_ROLLOUT)
        tree.breakers.results = lambda _jobs: None  # type: ignore[method-assign] - killed just there
        await ends(tree, "a", "failed")
        assert tree.breakers.stopped() == {}
    async with site(tmp_path, above) as tree:
        assert tree.breakers.stopped().keys() == {"j1"}
        await until(lambda: len(told(above)) == 1)


async def test_a_person_at_the_gateway_lets_it_go_on(tmp_path: Path) -> None:
    async with site(tmp_path, FakeAbove(parent="top", connected=False)) as tree:
        await order(tree, "a", "b", options=OF_ROLLOUT)
        with pytest.raises(UsageError) as caught:
            await tree.breakers.resume("r9-zz99")
        assert caught.value.code == "rollout.unknown"
        with pytest.raises(UsageError) as caught:
            await tree.breakers.resume("r1-ab12")
        assert caught.value.code == "rollout.not-held"
        await ends(tree, "a", "rejected")
        await until(lambda: bool(tree.breakers.stopped()))
        found = await tree.breakers.resume("r1-ab12")
        assert (found["state"], found["bad"], found["held"]) == ("running", 1, [])
        assert await waiting(tree, "order.v1") == ["b"]


async def test_what_the_parent_holds_is_held_here_and_below(tmp_path: Path) -> None:
    async with site(tmp_path, FakeAbove(parent="top")) as tree:
        await tree.admit(admitted("inner", "berlin", role="gateway"))
        held = HeldRollout(rollout="r1-ab12", site="top", since=5, have="3 of 9", limit="3")
        await tree.breakers.take("top", StartsHeld(seq=2, held=[held]))
        await tree.breakers.take("top", StartsHeld(seq=1))
        await order(tree, "a", options=OF_ROLLOUT)
        assert tree.breakers.stopped()["j1"].node == "top"
        assert await waiting(tree, "order.v1") == []
        await come(tree, "starts.held.v1", "a", "b", "inner")
        with pytest.raises(UsageError) as caught:
            await tree.breakers.resume("r1-ab12")
        assert caught.value.code == "rollout.held-above"
        await tree.breakers.take("top", StartsHeld(seq=3))
        assert await waiting(tree, "order.v1") == ["a"]


async def test_orders_of_no_rollout_and_cancels_pass(tmp_path: Path) -> None:
    async with site(tmp_path, FakeAbove(parent="top")) as tree:
        await order(tree, "a", "b", options=OF_ROLLOUT)
        await ends(tree, "a", "failed")
        await until(lambda: bool(tree.breakers.stopped()))
        await order(tree, "b", revision=2, type_="cancel")
        await order(tree, "b", job="j9")
        assert (await waiting(tree, "order.v1")).count("b") == 2
        assert tree.breakers.stopped() == {}, "the job is over here"
        assert tree.breakers.shown("r1-ab12")["state"] == "running"
        await order(tree, "b", job="j10", options=OF_ROLLOUT)
        assert tree.breakers.stopped().keys() == {"j10"}, "and holds what comes later"


async def test_a_gateway_below_hears_of_it_and_its_own_word_goes_up(tmp_path: Path) -> None:
    above = FakeAbove(parent="region")
    async with site(tmp_path, above) as tree:
        await tree.admit(admitted("inner", "berlin", role="gateway"))
        inner_key = PrivateKey.generate()
        async with gateway_node(tmp_path, "inner", tree, KEY, own_key=inner_key) as inner:
            for name in ("x", "y"):
                await tree.admit(admitted(name, "inner"))
            await until(lambda: inner.routes.via("y") == "y")
            await order(tree, "a", "b", "x", "y", options={b.ROLLOUT: "r1-ab12", b.SITE_NUMBER: 2})
            await until(lambda: "j1" in inner.breakers._open)
            await ends(inner, "x", "failed")
            await ends(tree, "a", "failed")
            await until(lambda: tree.breakers.stopped().keys() == {"j1"})
            await until(lambda: inner.breakers.stopped().keys() == {"j1"})
            (reason,) = inner.breakers.stopped().values()
            assert (reason.node, reason.get("have")) == ("berlin", "2 of 4"), "one there and one here"
            await tree.breakers.opened(word(1))
            await until(lambda: inner.breakers.stopped() == {})
            await ends(inner, "y", "failed")
            assert tree.breakers.held() == {}, "what was forgiven counts no more"
            await order(tree, "x", "y", job="j2", options={b.ROLLOUT: "r1-ab12", b.SITE_NUMBER: 2, b.AGAIN: 1})
            await until(lambda: "j2" in inner.breakers._open)
            await ends(inner, "x", "failed", "j2")
            await until(lambda: inner.breakers.stopped().keys() >= {"j2"})
            await until(lambda: any(isinstance(m, BreakerTold) and m.node == "inner" for m, _ in above.said))
