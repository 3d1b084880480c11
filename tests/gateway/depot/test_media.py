"""Packages that come by media into a depot."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.hop import FakeAbove, made_package, parent_node

from tiercast_gateway.depot import media
from tiercast_gateway.depot.media import MediaVerbs
from tiercast_gateway.subtree import SubTree
from tiercast_protocol.content.sealed.chunk import seal
from tiercast_protocol.errors import UsageError
from tiercast_protocol.node.control.verbs import Call
from tiercast_protocol.node.kernel import Peer


@pytest.fixture
async def tree(tmp_path: Any) -> Any:
    async with parent_node(tmp_path, children=["pc"], above=FakeAbove()) as subtree:
        yield subtree


async def call(tree: SubTree, verb: str, **args: Any) -> Any:
    handlers = {name: handler for name, _, handler in MediaVerbs(tree).table}
    peer = Peer(pid=1, uid=0, gid=0)
    return await handlers[verb](Call(verb=verb, args=args, peer=peer, role="operator", user="u", cause="c"))


async def test_chunks_come_in_and_the_package_is_known(tree: SubTree) -> None:
    package = made_package(3)
    digests = list(package.chunks)
    rows = [[digest, stored] for digest, stored in package.chunks.items()]
    assert (await call(tree, "package.missing", digests=b"".join(digests)))["missing"] == b"".join(digests)
    held_back = rows.pop(0)  # data comes first in the tests' packages
    assert (await call(tree, "package.store", chunks=rows))["stored"] == len(rows)
    made = await call(tree, "package.register", root=package.root)
    assert (made["package"], made["lacking"]) == ("tool", 1)
    with pytest.raises(UsageError, match="1 chunks of tool"):
        await media.members(tree.depot, package.root, 0)
    await call(tree, "package.store", chunks=[held_back])
    assert (await call(tree, "package.register", root=package.root))["lacking"] == 0
    assert tree.depot.packages.find("tool=1.0").root == package.root
    found = await media.members(tree.depot, package.root, 0)
    assert (found["count"], found["bytes"]) == (len(digests), package.stored)
    assert found["digests"][:32] == package.root
    held = {"chunks": len(digests), "bytes": package.stored, "installed": 0}
    assert await media.holds(tree.depot, package.root) == held
    assert (await media.holds(tree.depot, b"x" * 32))["chunks"] == 0


async def test_what_is_not_what_it_says_is_refused(tree: SubTree) -> None:
    digest, stored = seal(b"no package")
    other = seal(b"other")[0]
    await call(tree, "package.store", chunks=[[digest, stored]])
    for verb, args, code in (
        ("package.store", {"chunks": [[other, stored]]}, "chunk.corrupt"),
        ("package.store", {"chunks": [[b"short", stored]]}, "argument.invalid"),
        ("package.missing", {"digests": b"short"}, "digests.invalid"),
        ("package.register", {"root": digest}, "package.invalid"),
        ("package.register", {"root": other}, "package.incomplete"),
    ):
        with pytest.raises(UsageError) as caught:
            await call(tree, verb, **args)
        assert caught.value.code == code
    assert tree.depot.packages.all() == []
