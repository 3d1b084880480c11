"""When a child was there last outlives this node's restart."""

from __future__ import annotations

from pathlib import Path

from tests.support.hop import child_node, parent_node, until

from tiercast_gateway import snapshot
from tiercast_gateway.children.children import Children
from tiercast_gateway.children.lastseen import LastSeen
from tiercast_gateway.tables import SCHEMA
from tiercast_protocol.node.database import Database
from tiercast_protocol.wire.messages import Hello


async def test_changes_are_found_again(tmp_path: Path) -> None:
    children = Children()
    async with Database.open(tmp_path / "node.db", SCHEMA) as db:
        seen = LastSeen(db, children)
        for name in ("a", "b", "join-x"):
            children.hello(name, Hello(boot=b"1"))
        children.gone("a", b"1")
        await seen.note(["a", "b", "join-x"])
        await seen.forget("b")
    again = Children()
    async with Database.open(tmp_path / "node.db", SCHEMA) as db:
        await LastSeen(db, again).load()
    assert [(c.name, c.online, c.since) for c in again.all()] == [("a", False, children.get("a").since)]


async def test_a_closed_database_costs_only_the_memory(tmp_path: Path) -> None:
    async with Database.open(tmp_path / "node.db", [(1, "CREATE TABLE other(x)")]) as db:
        await LastSeen(db, Children()).note(["a"])  # no such table: logged


async def test_who_is_away_is_shown_with_when_it_left(tmp_path: Path) -> None:
    async with parent_node(tmp_path, children=["one"]) as tree:
        async with child_node(tmp_path, "one", tree.broker.children_url):
            await until(lambda: tree.children.online("one"))
        await until(lambda: not tree.children.online("one"))
        left = snapshot.children(tree)[0]["since"]
        kept = "SELECT at FROM last_seen WHERE child = 'one'"
        while await tree.db.read(lambda c: c.execute(kept).fetchone()) != (left,):
            pass
    async with parent_node(tmp_path, children=["one"]) as tree:
        assert snapshot.children(tree)[0]["since"] == left
