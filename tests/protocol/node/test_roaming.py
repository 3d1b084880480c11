"""A child that loses its parent, over real brokers: what it takes along, what it says, and how it comes home."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.support.hop import HASH, PASSWORD, REGION, FakeAbove, parent_node, until

from tiercast_gateway.subtree import SubTree
from tiercast_protocol.content.trust.credential import Credential, sign_credential
from tiercast_protocol.content.trust.keys import PrivateKey
from tiercast_protocol.content.trust.parents import Candidate, Parents, sign_parents
from tiercast_protocol.content.trust.proving import Prover
from tiercast_protocol.errors import UsageError
from tiercast_protocol.node import standing
from tiercast_protocol.node.address import TlsFiles
from tiercast_protocol.node.chunks.disk import DiskStore
from tiercast_protocol.node.database import Database
from tiercast_protocol.node.joined import Enrolled
from tiercast_protocol.node.post import Post
from tiercast_protocol.node.roaming import Roaming, Subject
from tiercast_protocol.node.standing import Policy
from tiercast_protocol.node.upstream import Upstream
from tiercast_protocol.wire.messages import Admitted, Answer, Status, StatusRecord
from tiercast_protocol.wire.moving import ParentsTold, Placed

REGION_KEY, MINE = PrivateKey(bytes(32)), PrivateKey(bytes(range(32)))


@dataclass
class Node:
    """A child that roams."""

    roaming: Roaming
    upstream: Upstream
    post: Post
    told: list[str] = field(default_factory=list)


@asynccontextmanager
async def roaming_node(folder: Path, url: str) -> AsyncIterator[Node]:
    me = Enrolled("pc", "endpoint", REGION, "west", "server", 1, url, PASSWORD, MINE, REGION_KEY.public)
    place = folder / "pc"
    place.mkdir(exist_ok=True)
    kept = standing.load(place, me)
    async with (
        Database.open(place / "node.db", [(1, Post.SCHEMA)]) as db,
        DiskStore.open(place / "chunks", reserve=0) as store,
    ):
        upstream: Upstream
        post = Post(db, me="pc", transmit=lambda _peer, payload: upstream.transmit(payload))
        present = kept.standing.present
        upstream = Upstream(
            me="pc", region=REGION, parent=present.name, url=present.url, login=me.login, store=store, post=post
        )

        async def retell() -> None:
            record = StatusRecord(job="j1", revision=1, target="pc", attempt=1, seq=1, state="done", at=1)
            await post.send(upstream.parent, Status(records=[record]))

        node = Node(
            Roaming(
                me,
                place,
                kept,
                Policy(0.2),
                upstream=upstream,
                post=post,
                subject=Subject(url=lambda: "", below=list, retell=retell),
                tls=TlsFiles(),
            ),
            upstream,
            post,
        )
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(part) for part in (upstream.run(), post.run(), node.roaming.run())]
            try:
                yield node
            finally:
                for task in running:
                    task.cancel()


def parents(west: str, east: str, *, called: int = 0, key: PrivateKey = REGION_KEY, node: str = "pc") -> ParentsTold:
    said = Parents(
        region=REGION,
        node=node,
        generation=1,
        issued=time.time_ns() // 1_000_000,
        home=Candidate(name="west", url=west),
        candidates=[Candidate(name="east", url=east)],
        called=called,
    )
    data, signature = sign_parents(said, key)
    return ParentsTold(data=data, signature=signature)


async def admit(tree: SubTree, *, guest: bool) -> None:
    await tree.admit(
        Admitted(
            name="pc",
            role="endpoint",
            parent=tree.name,
            public_key=MINE.public,
            password_hash=HASH,
            generation=1,
            guest=guest,
        )
    )


def heard(above: FakeAbove) -> list[type]:
    return [type(message) for message, _ in above.said]


async def test_a_child_goes_elsewhere_says_so_first_and_comes_home_when_called(tmp_path: Path) -> None:
    above_west, above_east = FakeAbove(), FakeAbove()
    async with AsyncExitStack() as stack:
        east = await stack.enter_async_context(parent_node(tmp_path, name="east", children=[], above=above_east))
        await admit(east, guest=True)
        async with parent_node(tmp_path, name="west", children=[], above=above_west) as west:
            await admit(west, guest=False)
            west_url, listen = west.broker.children_url, west.broker.children_url.removeprefix("mqtt://")
            node = await stack.enter_async_context(roaming_node(tmp_path, west_url))
            await until(lambda: west.children.online("pc") and Placed in heard(above_west))
            await west.post.send("pc", parents(west_url, east.broker.children_url), to="pc")
            await until(lambda: len(node.roaming.machine.standing.candidates) == 1)
            await west.post.send("pc", parents("mqtt://thief:1", "", key=MINE), to="pc")  # nobody's word
            node.post.peer_down("west")  # else it might get out in the last moment
            await node.post.send("west", Answer(query=b"q"), to="server")  # waits, and goes along
        await until(lambda: east.children.online("pc"), 30)
        await until(lambda: Status in heard(above_east) and len(above_east.forwarded) == 1)
        said = heard(above_east)
        assert said.index(Placed) < said.index(Status)
        assert east.routes.via("pc") == "pc"
        assert node.roaming.shown()["reason"] == "west was away"
        assert node.roaming.shown()["parent"] == "east"
        west = await stack.enter_async_context(
            parent_node(tmp_path, name="west", children=[], above=above_west, listen=listen)
        )
        with pytest.raises(UsageError, match="Choose one of west, east"):
            node.roaming.choose("thief")
        await east.post.send("pc", parents(west_url, east.broker.children_url, called=9), to="pc")
        await until(lambda: west.children.online("pc"), 30)
        assert node.roaming.machine.at_home
        node.roaming.choose("east")
        await until(lambda: east.children.online("pc"), 30)


async def test_after_a_restart_it_is_where_it_was(tmp_path: Path) -> None:
    above = FakeAbove()
    async with parent_node(tmp_path, name="east", children=[], above=above) as east:
        await admit(east, guest=True)
        async with parent_node(tmp_path, name="west", children=[]) as west:
            await admit(west, guest=False)
            url = west.broker.children_url
            async with roaming_node(tmp_path, url) as node:
                await until(lambda: west.children.online("pc"))
                await west.post.send("pc", parents(url, east.broker.children_url), to="pc")
                await until(lambda: len(node.roaming.machine.standing.candidates) == 1)
                node.roaming.choose("east")
                await until(lambda: east.children.online("pc"))
            async with roaming_node(tmp_path, url) as node:
                await until(lambda: east.children.online("pc"))
                assert node.roaming.shown()["parent"] == "east"
                assert not west.children.online("pc")
                await until(lambda: heard(above).count(Placed) >= 2)


def prover(name: str, region: PrivateKey = REGION_KEY) -> Prover:
    key = PrivateKey.generate()
    credential = Credential(
        region=REGION,
        name=name,
        role="gateway",
        parent="server",
        public_key=key.public,
        generation=2,
        issued=1,
        server="server",
    )
    return Prover(REGION, name, key, *sign_credential(credential, region))


async def test_home_at_a_new_address_is_found_by_a_humans_word_and_a_stranger_there_is_not(tmp_path: Path) -> None:
    """The node was off when home's machine got another address, and nobody else lives."""
    async with AsyncExitStack() as stack:
        thief = await stack.enter_async_context(
            parent_node(tmp_path / "thief", name="west", children=[], prover=prover("west", PrivateKey.generate()))
        )
        old = await stack.enter_async_context(parent_node(tmp_path / "old", name="west", children=[]))
        west = await stack.enter_async_context(
            parent_node(tmp_path / "new", name="west", children=[], prover=prover("west"))
        )
        for one in (thief, old, west):
            await admit(one, guest=False)
        async with roaming_node(tmp_path, "mqtt://127.0.0.1:1") as node:
            await until(lambda: bool(node.upstream.hop.control.problem))
            shown = node.roaming.shown()
            assert [one["url"] for one in shown["tried"]] == ["mqtt://127.0.0.1:1"]
            assert shown["tried"][0]["said"] not in {"", "no word of it yet"}
            assert "parent set HOST:PORT" in shown["todo"]
            with pytest.raises(UsageError, match="can't be reached"):
                await node.roaming.point("127.0.0.1:1", "")
            for wrong, why in ((thief, "not what its signer signed"), (old, "no proof of who it is")):
                with pytest.raises(UsageError, match=why):
                    await node.roaming.point(wrong.broker.children_url, "")
            assert not node.upstream.connected
            shown = await node.roaming.point(west.broker.children_url.removeprefix("mqtt://"), "")
            assert shown["proved"] == {"name": "west", "url": west.broker.children_url}
            assert (shown["connected"], shown["parent"]) == (True, "west")
            assert (shown["tried"], shown["todo"]) == ([], "")
        async with roaming_node(tmp_path, "mqtt://127.0.0.1:1") as node:  # it is remembered
            await until(lambda: west.children.online("pc"))
        assert not thief.children.online("pc")
