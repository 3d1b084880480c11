"""The child's side of a hop; transfers over brokers that die stand in tests/gateway/test_streams.py."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.support.hop import FakeAbove, child_node, chunks, parent_node, until

from tiercast_protocol.errors import BrokerLost, ChunkCorrupt, StoreFull
from tiercast_protocol.node.chunks.port import Taken
from tiercast_protocol.node.reporting import MOST_REPORTS
from tiercast_protocol.transfer import events as t
from tiercast_protocol.wire.messages import GroupJoin, GroupLeave, Hello


async def test_wants_are_told_of_by_callbacks(tmp_path: Path) -> None:
    held = chunks(3)
    above = FakeAbove(library=held)
    async with (
        parent_node(tmp_path, children=["one"], above=above) as parent,
        child_node(tmp_path, "one", parent.broker.children_url) as child,
    ):
        told: list[tuple[bytes, int | str]] = []
        child.upstream._on_chunk = lambda digest, size: told.append((digest, size))
        child.upstream._on_absent = lambda digest, reason: told.append((digest, reason))
        child.upstream.want([*held, b"x" * 32])
        await until(lambda: len(told) == 4)
        assert dict(told) == {d: len(s) for d, s in held.items()} | {b"x" * 32: "unknown"}
        traffic = child.upstream.traffic()
        assert traffic["chunks"] == 3
        assert traffic["received"] > traffic["chunk_bytes"] == sum(map(len, held.values()))


class Picky:
    """Takes every second chunk; the first time, one of them is found damaged."""

    def __init__(self, digests: Sequence[bytes]) -> None:
        self.mine, self.damaged = set(digests[::2]), digests[0]
        self.told: dict[bytes, object] = {}

    def take(self, chunks: Sequence[tuple[bytes, memoryview]]) -> dict[bytes, object]:
        found: dict[bytes, object] = {}
        for digest, view in chunks:
            if digest == self.damaged:
                self.damaged = b""
                found[digest] = ChunkCorrupt(digest, "flipped")
            elif digest in self.mine:
                found[digest] = bytes(view)
        return found

    def taken(self, digest: bytes, what: object) -> None:
        self.told[digest] = what


async def test_what_a_placer_takes_counts_as_stored_and_what_it_finds_damaged_is_asked_again(tmp_path: Path) -> None:
    held = chunks(9)
    placer = Picky(list(held))
    async with (
        parent_node(tmp_path, children=["one"], above=FakeAbove(library=held)) as parent,
        child_node(tmp_path, "one", parent.broker.children_url, placer=placer) as child,
    ):
        await child.upstream.fetch(list(held))
        assert placer.told == {digest: held[digest] for digest in list(held)[::2]}
        assert set(child.store.held(list(held))) == set(list(held)[1::2])
        counters = child.upstream.counters
        assert (counters.stored, counters.rejected, child.upstream.rejected) == (9, 1, 1)
        assert child.upstream.bytes_in == sum(map(len, held.values()))


async def test_a_child_that_stops_with_half_of_its_links_is_known_to_be_away(tmp_path: Path) -> None:
    async with parent_node(tmp_path, children=["one"]) as parent:
        async with child_node(tmp_path, "one", parent.broker.children_url) as child:
            await until(lambda: parent.children.online("one"))
            child.upstream.hop.connected = False  # as it is while the bulk connection comes back
        await until(lambda: not parent.children.online("one"))


async def test_after_the_farewell_nothing_is_said(tmp_path: Path) -> None:
    async with parent_node(tmp_path, children=["one"]) as parent:
        async with child_node(tmp_path, "one", parent.broker.children_url) as child:
            await until(lambda: parent.children.online("one"))
            await child.upstream.hop.leave()
            await until(lambda: not parent.children.online("one"))
            with pytest.raises(BrokerLost, match="stopping"):
                await child.upstream.transmit(b"x")
        assert not parent.children.online("one")


async def test_a_farewell_that_did_not_get_through_is_said_by_the_broker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with parent_node(tmp_path, children=["one"]) as parent:
        async with child_node(tmp_path, "one", parent.broker.children_url) as child:
            await until(lambda: parent.children.online("one"))

            async def lost(topic: str, payload: bytes) -> None:
                raise BrokerLost("mqtt://x", "test")

            monkeypatch.setattr(child.upstream.hop.control, "publish", lost)
        await until(lambda: not parent.children.online("one"))


async def test_what_is_not_wanted_any_more_is_dropped_above_too(tmp_path: Path) -> None:
    above = FakeAbove(answers=False)
    async with (
        parent_node(tmp_path, children=["one"], above=above) as parent,
        child_node(tmp_path, "one", parent.broker.children_url) as child,
    ):
        child.upstream.want([b"x" * 32])
        await until(lambda: above.wanted == [b"x" * 32])
        child.upstream.unwant([b"x" * 32])
        await until(lambda: above.unwanted == [b"x" * 32])


async def test_a_full_store_ends_the_fetch_and_nothing_goes_in_circles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = chunks(2)
    async with (
        parent_node(tmp_path, children=["one"], above=FakeAbove(library=held)) as parent,
        child_node(tmp_path, "one", parent.broker.children_url) as child,
    ):

        async def full(chunks: Sequence[tuple[bytes, bytes | memoryview]]) -> list[Taken]:
            return [StoreFull(needed=len(stored), free=0, where="quota") for _, stored in chunks]

        monkeypatch.setattr(child.store, "put_many", full)
        with pytest.raises(StoreFull):
            await child.upstream.fetch(list(held))
        monkeypatch.undo()
        await until(child.upstream._receiver.idle)
        await child.upstream.fetch(list(held))
        assert parent.streams.bytes_out <= 2 * sum(map(len, held.values()))


async def test_a_new_lane_above_means_groups_left_and_wants_said_again(tmp_path: Path) -> None:
    async with (
        parent_node(tmp_path, children=["one"], above=FakeAbove(answers=False)) as parent,
        child_node(tmp_path, "one", parent.broker.children_url) as child,
    ):
        upstream = child.upstream
        await until(lambda: upstream.groups.epoch == parent.children.get("one").lane)
        epoch = upstream.groups.epoch
        # the groups are made up: the parent's machine would dismiss the child at once
        parent.streams.group_joined = lambda *_: None  # type: ignore[method-assign]
        await parent.downlink.say("one", GroupJoin(group=7, epoch=epoch))
        await parent.downlink.say("one", GroupJoin(group=8, epoch=b"of another lane"))
        await until(lambda: upstream.groups.groups == {7})
        await parent.downlink.say("one", GroupJoin(group=9, epoch=epoch))
        await parent.downlink.say("one", GroupLeave(group=7, epoch=epoch))
        await until(lambda: upstream.groups.groups == {9})
        assert upstream.hop.bulk._subscriptions.keys() & {parent.topics.group("parent", n) for n in (7, 8, 9)} == {
            parent.topics.group("parent", 9)
        }
        seen: list[t.ReceiverEvent] = []
        handle = upstream._receiver.handle

        def watched(event: t.ReceiverEvent, *, now: float) -> list[t.ReceiverCommand]:
            seen.append(event)
            return handle(event, now=now)

        upstream._receiver.handle = watched  # type: ignore[method-assign] - to see what it is told
        await parent.downlink.say("one", Hello(boot=b"anew"))
        await until(lambda: upstream.groups.groups == set() and t.ParentConnected() in seen)


async def test_who_stops_in_order_says_so(tmp_path: Path) -> None:
    async with parent_node(tmp_path, children=["one"]) as parent:
        async with child_node(tmp_path, "one", parent.broker.children_url):
            await until(lambda: parent.children.online("one"))
        await until(lambda: not parent.children.online("one"), 5)


async def test_a_parent_that_is_not_there_is_waited_for(tmp_path: Path) -> None:
    async with parent_node(tmp_path, children=["one"]) as parent:
        async with child_node(tmp_path, "one", "mqtt://127.0.0.1:1") as child:
            fetching = asyncio.get_running_loop().create_task(child.upstream.fetch([b"x" * 32]))
            await asyncio.sleep(0)
            assert not child.upstream.connected
            assert child.upstream.traffic()["received"] == 0
            fetching.cancel()
        assert parent.broker.children_url


async def test_messages_that_are_none_are_passed_over(tmp_path: Path) -> None:
    async with (
        parent_node(tmp_path, children=["one"]) as parent,
        child_node(tmp_path, "one", parent.broker.children_url) as child,
    ):
        await until(lambda: child.upstream.connected and parent.children.online("one"))
        for payload in (b"", b"\xc1", b"\x91" * 10_000):
            await parent.downlink.transmit("one", payload)
        await parent.downlink.say("one", Hello(boot=b"anew"))
        await until(lambda: child.upstream.groups.epoch == b"anew")


async def test_what_waits_for_the_socket_is_bounded_and_nothing_is_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A parent that asks for everything again and again, behind a broker that takes nothing."""
    held = chunks(30)
    async with (
        parent_node(tmp_path, children=["one"], above=FakeAbove(library=held)) as parent,
        child_node(tmp_path, "one", parent.broker.children_url) as child,
    ):
        upstream = child.upstream
        await until(lambda: upstream.connected)
        publish, taking = upstream.hop.bulk.publish, asyncio.Event()

        async def stuck(topic: str, *parts: bytes | memoryview) -> None:
            await taking.wait()
            await publish(topic, *parts)

        monkeypatch.setattr(upstream.hop.bulk, "publish", stuck)
        for n in range(1, 2000):
            upstream._feed(t.MarkReceived(upstream._receiver.session, n, 0))
        upstream.want(list(held))
        assert upstream._reports.waiting <= MOST_REPORTS
        taking.set()
        async with asyncio.timeout(60):
            await upstream.fetch(list(held))
