"""What a sub-tree shows of itself can go over any wire."""

from __future__ import annotations

from pathlib import Path

from tests.support.hop import child_node, chunks, parent_node, until

from tiercast_gateway import snapshot
from tiercast_protocol.wire import codec


async def test_it_is_plain_and_follows_what_happens(tmp_path: Path) -> None:
    held = chunks(20)
    async with parent_node(tmp_path, children=["pc"]) as tree:
        for digest, stored in held.items():
            await tree.depot.put(digest, stored)
        assert snapshot.children(tree)[0]["online"] is False
        async with child_node(tmp_path, "pc", tree.broker.children_url) as child:
            await child.upstream.fetch(list(held))
            await until(lambda: snapshot.children(tree)[0]["online"])
            shown = snapshot.children(tree)[0]
            assert (shown["role"], shown["wanted"], shown["lane"]) == ("endpoint", 0, "active")
            assert shown["sent_bytes"] >= sum(map(len, held.values()))
            for part in (snapshot.snapshot(tree), await snapshot.depot(tree), snapshot.links(tree)):
                assert codec.decode_plain(codec.encode(part)) == part
            assert snapshot.usage(tree)["chunks"] == len(held)
            assert snapshot.snapshot(tree)["counters"]["bulk_connects_total"] > 0
        await until(lambda: not snapshot.children(tree)[0]["online"])
