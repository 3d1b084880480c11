"""Who is woken: children with an order that asks for it, as links say, and what is told of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, cast

import pytest
from tests.support.hop import until

from tiercast_gateway.children.children import Children
from tiercast_gateway.power import wakes as module
from tiercast_gateway.power.power import Asleep, PowerSettings
from tiercast_gateway.power.wakes import Wakes
from tiercast_gateway.steering import said as s
from tiercast_gateway.steering.said import Said
from tiercast_protocol.content.facts.inventory import Facts, Inventory
from tiercast_protocol.content.jobs.order import Order
from tiercast_protocol.errors import UsageError
from tiercast_protocol.node.config import Duration
from tiercast_protocol.node.control.verbs import Call
from tiercast_protocol.node.database import Database
from tiercast_protocol.node.kernel import Peer
from tiercast_protocol.wire import codec
from tiercast_protocol.wire.power import Woken

MAC = "52:54:00:12:34:56"


class Waker:
    """Notes whom it was to wake."""

    def __init__(self) -> None:
        self.woke: list[Asleep] = []

    def wake(self, machine: Asleep) -> None:
        if not machine.networks:
            raise UsageError(code="power.address", what="no hardware address of it is known")
        self.woke.append(machine)


def order(job: str, **options: Any) -> Order:
    return Order(
        region="r", epoch=1, job=job, revision=1, type="message", package="", version="", package_revision=0, root=b"",
        issued=1, expires=1 << 50, targets_root=bytes(32), target_count=1, options=options,
    )  # fmt: skip


class Tree:
    """A sub-tree as far as waking goes."""

    def __init__(self, db: Database) -> None:
        self.name, self.db, self.children = "berlin", db, Children()
        self.sent: list[tuple[str, Woken]] = []
        self.kept: set[str] = set()
        users = [
            SimpleNamespace(name=name, role="endpoint", guest="guest" in name)
            for name in ("pc-1", "pc-2", "guest", "a-guest-here")
        ]
        guests = SimpleNamespace(holds=lambda name: name == "a-guest-here")
        self.lodging = SimpleNamespace(guests=guests)
        self.enrolment = SimpleNamespace(children=lambda: users)
        self.steering = SimpleNamespace(said=Said(db), reasons=SimpleNamespace(changed=lambda: None))
        self.pruning = SimpleNamespace(reason=lambda _job, child: child in self.kept)

        async def send(node: str, message: Woken) -> None:
            self.sent.append((node, message))

        self.post = SimpleNamespace(send=send)

    async def add(self, job: str, *nodes: str) -> None:
        def write(c: Any) -> None:
            c.execute(
                "INSERT INTO orders(job, revision, type, package, version, package_revision, root, expires, signed,"
                " signature, cause, open) VALUES (?, 1, 'message', '', '', 0, x'', 1, x'', x'', '', 1)",
                (job,),
            )
            for node in nodes:
                c.execute(
                    "INSERT INTO order_targets(job, revision, node, place, proof) VALUES (?,1,?,0,x'')", (job, node)
                )

        await self.db.write(write)

    async def end(self, job: str, node: str) -> None:
        row = (
            "INSERT INTO statuses(job, target, revision, attempt, seq, final, told, record) VALUES (?,?,1,1,1,1,1,x'')"
        )
        await self.db.write(lambda c: c.execute(row, (job, node)))

    async def says(self, node: str, networks: dict[str, str]) -> None:
        facts = Facts(
            name=node, os="linux", distribution="d", version="1", kernel="6", architecture="x", cpus=1, memory=1,
            disk_free=1, disk_total=1, python="3", agent="1", networks=networks,
        )  # fmt: skip
        data = codec.encode(Inventory(region="r", node=node, generation=1, seq=1, at=1, facts=facts))
        row = "INSERT INTO inventories(node, generation, seq, told, data, signature) VALUES (?,1,1,1,?,x'')"
        await self.db.write(lambda c: c.execute(row, (node, data)))


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK_S", 0.01)


@asynccontextmanager
async def waking(tree: Tree, waker: Waker, **more: Any) -> AsyncIterator[Wakes]:
    settings = PowerSettings(**{"pause": Duration(0.0), "patience": Duration(60.0), **more})
    wakes = Wakes(cast("Any", tree), settings, waker)
    await tree.steering.said.load()
    await wakes.load()
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(wakes.run())
        try:
            yield wakes
        finally:
            task.cancel()


def call(**args: Any) -> Call:
    return Call(verb="v", args=args, peer=Peer(1, 1, 1), role="operator", user="ann", cause="")


async def test_a_machine_is_woken_for_its_job_and_told_so(db: Database) -> None:
    tree, waker = Tree(db), Waker()
    await tree.says("pc-1", {MAC: "10.1.0.5/24"})
    await tree.add("j1", "pc-1", "guest", "elsewhere")
    async with waking(tree, waker) as wakes:
        wakes.job_changed(order("j1", wake=True), True)
        await until(lambda: bool(waker.woke))
        assert waker.woke == [Asleep("pc-1", {MAC: "10.1.0.5/24"})]
        reason = wakes.reason("j1", "pc-1")
        assert reason is not None
        assert (reason.code, reason.get("tries"), wakes.reason("j2", "pc-1")) == ("wake.waking", 1, None)
        assert wakes.waiting() == {"j1": ["pc-1"]}
    async with waking(tree, waker) as wakes:  # the gateway was restarted meanwhile
        wakes.job_changed(order("j1", wake=True), True)
        tree.children.heard("pc-1")
        await until(lambda: bool(tree.sent))
        assert tree.sent == [("pc-1", Woken(jobs=["j1"]))]
        await until(lambda: tree.steering.said.get(s.WOKEN, "pc-1") is None)
        await tree.end("j1", "pc-1")
        wakes.job_changed(order("j1", wake=True), False)
        await until(lambda: not wakes.machine.sleepers)


async def test_who_is_not_to_be_woken_is_left_alone(db: Database) -> None:
    tree, waker = Tree(db), Waker()
    for node in ("pc-1", "pc-2"):
        await tree.says(node, {MAC: ""})
    for job in ("plain", "later", "kept", "linked"):
        await tree.add(job, "pc-1")
    await tree.add("other", "pc-2")
    tree.kept.add("pc-1")
    async with waking(tree, waker) as wakes:
        wakes.job_changed(order("kept", wake=True), True)
        wakes.job_changed(order("plain"), True)
        wakes.job_changed(order("later", wake=True, distribute_at=1 << 49), True)
        await tree.steering.said.put(s.LINK, {"pc-1": {"wake": False}, "": {"wake": True}})
        wakes.job_changed(order("other"), True)
        await until(lambda: bool(waker.woke))
        assert [one.node for one in waker.woke] == ["pc-2"], "its link says so, though its order does not"
        await tree.steering.said.put(s.LINK, {"pc-1": {"wake": True}})
        wakes.job_changed(order("linked"), True)
        tree.kept.clear()  # last: the next look sees all three
        await until(lambda: len(waker.woke) > 1)
        assert set(wakes.machine.sleepers["pc-1"].keys) == {"plain", "kept", "linked"}


async def test_a_guest_is_woken_where_he_has_his_place(db: Database) -> None:
    tree, waker = Tree(db), Waker()
    for node in ("guest", "a-guest-here"):
        await tree.says(node, {MAC: ""})
    await tree.add("j1", "guest", "a-guest-here")
    async with waking(tree, waker) as wakes:
        wakes.job_changed(order("j1", wake=True), True)
        await until(lambda: bool(waker.woke))
        assert set(wakes.machine.sleepers) == {"a-guest-here"}


async def test_whom_a_group_has_woken(db: Database) -> None:
    tree, waker = Tree(db), Waker()
    for node in ("pc-1", "pc-2"):
        await tree.says(node, {MAC: ""})
    await tree.add("j1", "pc-1", "pc-2")
    await db.write(lambda c: c.execute("UPDATE order_targets SET wake = 1 WHERE node = 'pc-2'"))
    async with waking(tree, waker) as wakes:
        wakes.job_changed(order("j1"), True)
        await until(lambda: bool(waker.woke))
        assert set(wakes.machine.sleepers) == {"pc-2"}
        wakes.job_changed(order("j1", wake=False), True)
        await until(lambda: not wakes.machine.sleepers)  # the order says otherwise


async def test_by_hand_and_who_can_not_be_woken(db: Database) -> None:
    tree, waker = Tree(db), Waker()
    tree.children.heard("pc-2")
    async with waking(tree, waker) as wakes:
        rows = {row["node"]: row for row in await wakes.wake(call(nodes=["pc-1", "pc-2"]))}
        assert rows["pc-2"]["state"] == "awake"
        assert (rows["pc-1"]["state"], rows["pc-1"]["why"]) == ("failed", "no hardware address of it is known")
        await tree.says("pc-1", {MAC: ""})
        assert [row["state"] for row in await wakes.wake(call(nodes=["pc-1"]))] == ["waking"]
        tree.children.heard("pc-1")

        def state() -> Callable[[], bool]:
            return lambda: wakes._results["pc-1"]["state"] == "awake"

        await until(state())
        assert [row["node"] for row in await wakes.list_(call())] == ["pc-1", "pc-2"]
        assert [row["node"] for row in await wakes.list_(call(nodes=["pc-2"]))] == ["pc-2"]
        with pytest.raises(UsageError) as caught:
            await wakes.wake(call(nodes=["pc-1", "nobody"]))
        assert caught.value.code == "power.child"


async def test_who_does_not_wake_is_told_with_how_often(db: Database) -> None:
    tree, waker = Tree(db), Waker()
    await tree.says("pc-1", {MAC: ""})
    await tree.add("j1", "pc-1")
    async with waking(tree, waker, patience=Duration(0.02), tries=2) as wakes:
        told: list[Any] = []

        async def on_failed(node: str, why: Any) -> None:
            told.append((node, {job: (one.code, one.node, one.peer) for job, one in why.items()}))

        wakes.on_failed = on_failed
        wakes.job_changed(order("j1", wake=True), True)

        def failed() -> bool:
            reason = wakes.reason("j1", "pc-1")
            return reason is not None and reason.code == "wake.failed"

        await until(failed)
        reason = wakes.reason("j1", "pc-1")
        assert reason is not None
        assert (reason.get("tries"), reason.get("rounds"), reason.until > 0) == (2, "", True)
        await until(lambda: bool(told))
        assert told == [("pc-1", {"j1": ("wake.failed", "berlin", "pc-1")})]
        assert len(waker.woke) == 2
        assert (await wakes.list_(call()))[0]["state"] == "failed"
