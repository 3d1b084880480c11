"""A gateway counts how its children stand, and says so once for each assignment."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.hop import FakeAbove, until

from tiercast_gateway.children.routes import Routes
from tiercast_gateway.facts.drift import Drift, standing
from tiercast_gateway.facts.inventories import Inventories
from tiercast_protocol.content.facts.inventory import Facts, Inventory
from tiercast_protocol.content.jobs.assigned import Rule, wants
from tiercast_protocol.errors import UsageError
from tiercast_protocol.node.control.verbs import Call
from tiercast_protocol.node.database import Database
from tiercast_protocol.node.kernel import Peer
from tiercast_protocol.wire import codec
from tiercast_protocol.wire.drift import Assigned, DriftTold
from tiercast_protocol.wire.facts import Inventories as Said
from tiercast_protocol.wire.facts import InventoryEntry


def entry(node: str, seq: int, **packages: str) -> InventoryEntry:
    facts = Facts(
        **dict.fromkeys(("os", "distribution", "version", "kernel", "architecture", "python", "agent"), "x"),
        **dict.fromkeys(("cpus", "memory", "disk_free", "disk_total"), 1),
        name=node,
        packages=packages,
    )
    said = Inventory(region="r", node=node, generation=1, seq=seq, at=1, facts=facts)
    return InventoryEntry(node=node, generation=1, seq=seq, data=codec.encode(said), signature=b"s")


def told(above: FakeAbove) -> list[DriftTold]:
    return [message for message, _ in above.said if isinstance(message, DriftTold)]


@asynccontextmanager
async def running(db: Database, above: FakeAbove) -> AsyncIterator[tuple[Drift, Inventories]]:
    drift = Drift("berlin", db, above, now_ms=lambda: 7, pace=0.01)
    inventories = Inventories(db, above, Routes(db), 60, 60, drift.changed)
    await drift.load()
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(drift.run())
        try:
            yield drift, inventories
        finally:
            task.cancel()


def assigned(seq: int, *nodes: str, requires: str = "app >= 2") -> Assigned:
    return Assigned(name="a", seq=seq, requires=requires, nodes=list(nodes))


def call(**args: Any) -> Call:
    return Call(verb="x", args=args, peer=Peer(1, 1, 1), role="viewer", user="u", cause="")


async def test_one_record_for_all_children_and_only_what_changed(db: Database) -> None:
    above = FakeAbove()
    async with running(db, above) as (drift, inventories):
        for one in (entry("pc1", 1, app="2"), entry("pc2", 1, app="1"), entry("pc3", 1)):
            await inventories.take(one.node, Said(entries=[one]))
        await drift.take(assigned(5, "pc1", "pc2", "pc3", "pc4"))
        await until(lambda: len(told(above)) == 1)
        (first,) = told(above)
        assert first.counts == {"holds": 1, "wrong": 1, "missing": 1, "unknown": 1}
        assert first.some == [("pc2", "wrong", "1"), ("pc3", "missing", ""), ("pc4", "unknown", "")]
        assert (first.node, first.name, first.of, first.at) == ("berlin", "a", 5, 7)
        await inventories.take("pc1", Said(entries=[entry("pc1", 2, app="2", other="1")]))
        await inventories.take("pc2", Said(entries=[entry("pc2", 2, app="2.1")]))
        await until(lambda: len(told(above)) == 2)
        assert told(above)[1].counts == {"holds": 2, "missing": 1, "unknown": 1}
        await inventories.forget(["pc1"])
        await until(lambda: len(told(above)) == 3)
        assert told(above)[2].counts == {"holds": 1, "missing": 1, "unknown": 2}
        drift.told_again()
        await until(lambda: len(told(above)) == 4)
        assert told(above)[3] == told(above)[2]


async def test_what_is_asked_outlives_a_restart_and_older_words_change_nothing(db: Database) -> None:
    above = FakeAbove()
    async with running(db, above) as (drift, _):
        await drift.take(assigned(5, "pc1"))
        await drift.take(assigned(4, "pc9"))
        await drift.take(Assigned(name="b", seq=1, requires="no requirement at all", nodes=["pc1"]))
        await until(lambda: bool(told(above)))
    async with running(db, FakeAbove()) as (drift, _):
        (row,) = await drift.list_(call())
        assert (row["assignment"], row["targets"], row["counts"]) == ("a", 1, {"unknown": 1})
        shown = await drift.show(call(assignment="a"))
        assert [one["node"] for one in shown["machines"]] == ["pc1"]
        await drift.take(assigned(6))
        assert await drift.list_(call()) == []
        with pytest.raises(UsageError) as caught:
            await drift.show(call(assignment="a"))
        assert caught.value.code == "assignment.unknown"
    async with running(db, FakeAbove()) as (drift, _):
        assert await drift.list_(call()) == []


async def test_what_can_not_be_read_is_unknown(db: Database) -> None:
    above = FakeAbove()
    async with running(db, above) as (drift, inventories):
        odd = InventoryEntry(node="pc1", generation=1, seq=1, data=b"odd", signature=b"s")
        await inventories.take("pc1", Said(entries=[odd]))
        await drift.take(assigned(5, "pc1"))
        await until(lambda: bool(told(above)))
        assert told(above)[0].counts == {"unknown": 1}


NODES = st.lists(st.sampled_from(["a", "b", "c", "d"]), unique=True)


@given(NODES, st.dictionaries(st.sampled_from("abcd"), st.dictionaries(st.just("app"), st.sampled_from("123"))))
def test_the_record_equals_its_parts_however_they_are_shared(nodes: list[str], said: dict[str, dict[str, str]]) -> None:
    rule = Rule("r", wants("app >= 2"))
    whole = standing(rule, nodes, said)
    parts = [standing(rule, nodes[:2], said), standing(rule, nodes[2:], said)]
    assert whole.counts == parts[0].counts + parts[1].counts
    assert whole.away == parts[0].away + parts[1].away
    assert sum(whole.counts.values()) == len(nodes)
