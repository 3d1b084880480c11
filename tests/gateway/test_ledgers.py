"""The ledger of a sub-tree: both sides of a link, over real brokers."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from tests.support.hop import FakeAbove, chunks, gateway_node, parent_node

from tiercast_gateway.ledgers import TO_BROKER, Ledgers
from tiercast_gateway.subtree import SubTree
from tiercast_gateway.verbs import add_common_verbs
from tiercast_protocol.content.trust.keys import PrivateKey
from tiercast_protocol.errors import UsageError
from tiercast_protocol.node.control.verbs import Call, Verbs
from tiercast_protocol.node.kernel import Peer
from tiercast_protocol.node.ledger import CAME, DEPOT, SENT, Key
from tiercast_protocol.transfer.books import PUBLISHED, Place

KEY = PrivateKey.generate()


def asked(**args: Any) -> Call:
    return Call(verb="x", args=args, peer=Peer(pid=1, uid=0, gid=0), role="admin", user="root", cause="c")


def answering(mid: SubTree) -> None:
    add_common_verbs(Verbs(), mid)


async def fetch(mid: SubTree, wanted: list[bytes], job: str = "") -> None:
    assert mid.books.arrivals is not None
    async with asyncio.timeout(60):
        await mid.books.arrivals._upstream.fetch(wanted, job)


@pytest.mark.parametrize("kind", ["embedded", "mosquitto"])
async def test_both_sides_of_a_link_agree_to_the_byte_and_with_the_kernel(tmp_path: Path, kind: str) -> None:
    held, above = chunks(60), FakeAbove(library=chunks(20))
    everything = held | above.library
    size = sum(map(len, everything.values()))
    async with (
        parent_node(tmp_path, children=["mid"], above=above, key=KEY, name="top", kind=kind) as top,
        gateway_node(tmp_path, "mid", top, KEY, kind=kind) as mid,
    ):
        answering(mid)
        for digest, stored in held.items():
            await top.depot.put(digest, stored)
        await fetch(mid, list(everything), "j1")
        ledgers = Ledgers(top)
        (link,) = (await ledgers.show(asked()))["links"]
        assert (link["parent"], link["child"], link["heard"], link["even"]) == ("top", "mid", True, True)
        assert link["published"] == link["arrived"] == link["useful"] == size
        assert link["lost"] == link["surplus"] == link["under_way"] == link["left_over"] == link["wasted"] == 0
        # the kernel's bytes of the bulk connection: heads of frames, topics, subscriptions and nothing else
        assert size < link["kernel"] <= 1.01 * size + 4096
        assert link["overhead"] == link["kernel"] - size

        rows = (await ledgers.show(asked(job="j1")))["rows"]
        found = {(row["side"], row["reason"]): row for row in rows}
        assert found[DEPOT, "own depot"]["bytes"] == sum(map(len, held.values()))
        assert found[DEPOT, "own depot"]["chunks"] == len(held)
        assert found[DEPOT, "from above"]["chunks"] == len(above.library)
        assert found[SENT, "first"]["bytes"] == size
        (once,) = [row for row in (await ledgers.show(asked()))["rows"] if row["reason"] == TO_BROKER]
        assert (once["bytes"], once["frames"]) == (size, link["frames"])
        below = (await Ledgers(mid).show(asked(job="j1")))["rows"]
        assert {(row["side"], row["reason"]): row["bytes"] for row in below} == {(CAME, "stored"): size}
        check = await ledgers.check(asked(below=True))
        assert (check["balanced"], check["silent"]) == (True, [])
        with pytest.raises(UsageError, match="neither a child nor the parent"):
            await ledgers.show(asked(link="nobody"))
        with pytest.raises(UsageError, match="no parent"):
            await ledgers.side(asked(parent="x"))


async def test_a_parent_that_began_anew_goes_on_with_its_books(tmp_path: Path) -> None:
    held = chunks(40)
    async with parent_node(tmp_path, children=["mid"], key=KEY, name="top") as top:
        for digest, stored in held.items():
            await top.depot.put(digest, stored)
        async with gateway_node(tmp_path, "mid", top, KEY) as mid:
            await fetch(mid, list(held)[:20])
    async with (
        parent_node(tmp_path, children=["mid"], key=KEY, name="top") as top,
        gateway_node(tmp_path, "mid", top, KEY) as mid,
    ):
        answering(mid)
        await fetch(mid, list(held))
        (link,) = (await Ledgers(top).show(asked(link="mid")))["links"]
        assert link["even"]
        assert link["published"] == link["useful"] == sum(map(len, held.values()))
        # a book that says less than what came is told so
        await top.books.ledger._db.write(
            lambda c: c.execute("UPDATE entries SET bytes = bytes - 1 WHERE reason = 'published'")
        )
        check = await Ledgers(top).check(asked())
        assert not check["balanced"]
        assert check["links"][0]["left_over"] < 0


async def test_legs_that_are_over_long_ago_are_compared_by_where_they_were_written_to_end(tmp_path: Path) -> None:
    """More of them than the books remember: a child that was killed a dozen times with bytes under way."""
    held = chunks(5)
    async with (
        parent_node(tmp_path, children=["mid"], key=KEY, name="top") as top,
        gateway_node(tmp_path, "mid", top, KEY) as mid,
    ):
        answering(mid)
        assert mid.books.arrivals is not None
        for session in range(1, 13):
            top.books.ledger.add(Key(SENT, "mid", PUBLISHED, f"{session:x}"), 1000, frames=1)
            top.books.ledger.stand("mid", session, Place(1000, 400))
            mid.books.ledger.add(Key(CAME, "top", "useful", f"{session:x}"), 400)
        for digest, stored in held.items():
            await top.depot.put(digest, stored)
        await fetch(mid, list(held))
        (link,) = (await Ledgers(top).check(asked()))["links"]
        assert (link["even"], link["left_over"], link["lost"]) == (True, 0, 12 * 600)


@pytest.mark.parametrize("when", ["before", "after"])
async def test_what_passes_while_a_child_answers_is_under_way_and_left_over_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """A check in the middle of a transfer, with a child that counts later, or earlier, than its parent."""
    held = chunks(40)
    digests = list(held)
    async with parent_node(tmp_path, children=["mid"], key=KEY, name="top") as top:
        for digest, stored in held.items():
            await top.depot.put(digest, stored)
        async with gateway_node(tmp_path, "mid", top, KEY) as mid:
            answering(mid)
            await fetch(mid, digests[:10])
            ask = top.queries.ask

            async def slowly(*args: Any, **more: Any) -> Any:
                if when == "before":
                    await fetch(mid, digests[10:])
                answer = await ask(*args, **more)
                if when == "after":
                    await fetch(mid, digests[10:])
                return answer

            monkeypatch.setattr(top.queries, "ask", slowly)
            (link,) = (await Ledgers(top).check(asked()))["links"]
            assert (link["even"], link["left_over"], link["frames_left_over"]) == (True, 0, 0)
            assert link["published"] == sum(map(len, held.values()))
            monkeypatch.undo()
            (link,) = (await Ledgers(top).check(asked()))["links"]
            assert (link["even"], link["lost"], link["under_way"]) == (True, 0, 0)


async def test_a_child_that_does_not_answer_is_said_to_be_silent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tiercast_gateway.ledgers._PATIENCE", 0.1)
    held = chunks(3)
    async with parent_node(tmp_path, children=["mid"], key=KEY, name="top") as top:
        for digest, stored in held.items():
            await top.depot.put(digest, stored)
        async with gateway_node(tmp_path, "mid", top, KEY) as mid:
            await fetch(mid, list(held))
        check = await Ledgers(top).check(asked(below=True))
        assert (check["balanced"], check["silent"]) == (True, ["mid"])
        assert check["links"][0]["published"] == sum(map(len, held.values()))
