"""The verbs of a depot."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.hop import FakeAbove, made_package, parent_node

from tiercast_gateway.depot.verbs import DepotVerbs
from tiercast_gateway.subtree import SubTree
from tiercast_protocol.errors import UsageError
from tiercast_protocol.node.control.verbs import Call
from tiercast_protocol.node.kernel import Peer
from tiercast_protocol.node.leases import KEEP, PIN, READ


@pytest.fixture
async def tree(tmp_path: Any) -> Any:
    async with parent_node(tmp_path, children=["pc"], above=FakeAbove()) as subtree:
        yield subtree


async def call(tree: SubTree, verb: str, **args: Any) -> Any:
    handlers = {name: handler for name, _, handler in DepotVerbs(tree).table}
    peer = Peer(pid=1, uid=0, gid=0)
    return await handlers[verb](Call(verb=verb, args=args, peer=peer, role="operator", user="u", cause="c"))


async def test_packages_are_shown_pinned_kept_and_evicted(tree: SubTree) -> None:
    package = made_package(3)
    for digest, stored in package.chunks.items():
        await tree.depot.put(digest, stored)
    await tree.depot.know(package.root, "tool", "1.0", 1)
    assert (await call(tree, "depot.pin", package="tool=1.0"))["pinned"]
    gone = await call(tree, "depot.evict")
    assert (gone["chunks"], gone["freed"], gone["kept"]) == (0, 0, {PIN: package.stored})
    shown = await call(tree, "depot.show")
    assert [(p["name"], p["version"], p["pinned"], p["held"], p["total"]) for p in shown["packages"]] == [
        ("tool", "1.0", True, package.size, package.size)
    ]
    assert shown["refused"] == {PIN: package.stored}
    assert shown["own_bytes"] > package.stored
    await call(tree, "depot.unpin", package="tool")
    assert (await call(tree, "depot.keep", package="tool@1.0", seconds=60))["keep_until"] > 0
    assert (await call(tree, "depot.evict"))["kept"] == {KEEP: package.stored}
    await call(tree, "depot.keep", package="tool", seconds=0)
    would = await call(tree, "depot.evict", dry_run=True, bytes=1)
    assert (would["packages"], would["enough"]) == (["tool=1.0"], True)
    assert await tree.depot.has(package.root)
    with tree.depot.store.leases.held(READ, [package.root]):
        assert list((await call(tree, "depot.evict"))["kept"]) == [READ]
    assert (await call(tree, "depot.evict"))["chunks"] == 1
    for wrong in ({"package": "tool"}, {}):
        with pytest.raises(UsageError):
            await call(tree, "depot.pin", **wrong)


async def test_what_can_not_be_meant_is_refused(tree: SubTree) -> None:
    for verb, args, code in (
        ("depot.keep", {"package": "x", "seconds": -1}, "time.invalid"),
        ("depot.evict", {"bytes": -1}, "size.invalid"),
    ):
        with pytest.raises(UsageError) as caught:
            await call(tree, verb, **args)
        assert caught.value.code == code
