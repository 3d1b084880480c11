"""Chunks over a real broker: parent, children, kills and lies in between."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from tests.support.hop import FakeAbove, child_node, chunks, parent_node, until

from tiercast_protocol.errors import ChunkMissing
from tiercast_protocol.node.broker import free_port
from tiercast_protocol.node.metrics import METRICS
from tiercast_protocol.transfer.events import LinkPolicySet, ReportReceived
from tiercast_protocol.transfer.policy import LinkPolicy, Pace
from tiercast_protocol.wire import frame
from tiercast_protocol.wire.messages import Absent, GroupJoin, GroupJoined, Message, Piece, Report


@pytest.fixture(params=["embedded", "mosquitto"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def test_a_child_gets_what_the_depot_holds_and_what_comes_from_above(tmp_path: Path, kind: str) -> None:
    held, above = chunks(40), FakeAbove(library=chunks(40))
    async with parent_node(tmp_path, kind=kind, above=above) as parent:
        for digest, stored in held.items():
            await parent.depot.put(digest, stored)
        async with child_node(tmp_path, "one", parent.broker.children_url) as child, asyncio.timeout(60):
            await child.upstream.fetch([*held, *above.library])
            for digest, stored in (held | above.library).items():
                assert await child.store.get(digest) == stored
    assert sorted(above.wanted) == sorted(above.library)


async def test_children_that_miss_the_same_share_one_publish_per_frame(tmp_path: Path, kind: str) -> None:
    held = chunks(400)
    async with parent_node(tmp_path, kind=kind) as parent:
        for digest, stored in held.items():
            await parent.depot.put(digest, stored)
        url = parent.broker.children_url
        async with child_node(tmp_path, "one", url) as one, child_node(tmp_path, "two", url) as two:
            await until(lambda: one.upstream.connected and two.upstream.connected)
            for child in ("one", "two"):  # so slow that the first moment, each alone, does not count
                parent.streams.feed(LinkPolicySet(child, LinkPolicy(Pace(rate=8e6))))
            async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
                tasks.create_task(one.upstream.fetch(list(held)))
                tasks.create_task(two.upstream.fetch(list(held)))
            size = sum(map(len, held.values()))
            received = one.upstream.bytes_in + two.upstream.bytes_in
            assert received == 2 * size
            assert parent.streams.bytes_out < 1.5 * size


async def test_who_is_invited_gets_nothing_that_was_sent_without_him(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Frames of a group that wait for the socket while another is invited are not for him: he gets that by himself."""
    held = chunks(400)
    names = ("one", "two", "late")
    async with parent_node(tmp_path, kind=kind, children=names) as parent, AsyncExitStack() as stack:
        for digest, stored in held.items():
            await parent.depot.put(digest, stored)
        url = parent.broker.children_url
        nodes = [await stack.enter_async_context(child_node(tmp_path, name, url)) for name in names]
        one, two, late = nodes
        await until(lambda: all(node.upstream.connected for node in nodes))
        for name in names:
            parent.streams.feed(LinkPolicySet(name, LinkPolicy(Pace(rate=4e6))))
        link, open_, waiting = parent.streams._bulk, asyncio.Event(), asyncio.Event()
        publish = link.publish

        async def late_publish(topic: str, *parts: bytes | memoryview) -> None:
            if topic == parent.topics.group(parent.name, 1):
                waiting.set()
                await open_.wait()
            await publish(topic, *parts)

        monkeypatch.setattr(link, "publish", late_publish)
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        fetching = [tasks.create_task(node.upstream.fetch(list(held))) for node in (one, two)]
        await waiting.wait()  # what both want is shared, and stands before the socket
        fetching.append(tasks.create_task(late.upstream.fetch(list(held))))
        groups = parent.streams.machine._membership.groups
        await until(lambda: 1 in groups and "late" in groups[1].invited)
        # whatever was said to it by another way is done before this
        groups_of_late, joined = late.upstream.hop.groups, list[int]()
        say_joined = groups_of_late._joined

        async def noted(message: GroupJoined) -> None:
            joined.append(message.group)
            await say_joined(message)

        monkeypatch.setattr(groups_of_late, "_joined", noted)
        epoch = parent.children.get("late").lane
        await parent.downlink.say("late", GroupJoin(group=999, epoch=epoch))
        await until(lambda: 999 in joined)
        open_.set()
        async with asyncio.timeout(60):
            await asyncio.gather(*fetching)
        assert [node.upstream._receiver.counters.repeated for node in nodes] == [0, 0, 0]
        assert [node.upstream._receiver.counters.unasked for node in nodes] == [0, 0, 0]


async def test_a_child_is_not_sent_what_it_holds(tmp_path: Path, kind: str) -> None:
    held = chunks(60)
    async with parent_node(tmp_path, kind=kind) as parent:
        for digest, stored in held.items():
            await parent.depot.put(digest, stored)
        async with child_node(tmp_path, "one", parent.broker.children_url) as child, asyncio.timeout(60):
            has = dict(list(held.items())[:30])
            for digest, stored in has.items():
                await child.store.put(digest, stored)
            await child.upstream.fetch(list(held))
            assert parent.streams.bytes_out == sum(len(held[d]) for d in held if d not in has)


async def test_what_nobody_above_holds_is_said_to_be_absent(tmp_path: Path, kind: str) -> None:
    async with (
        parent_node(tmp_path, kind=kind) as parent,
        child_node(tmp_path, "one", parent.broker.children_url) as child,
        asyncio.timeout(60),
    ):
        with pytest.raises(ChunkMissing):
            await child.upstream.fetch([b"x" * 32])


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # paho leaves a refused UNIX socket open
async def test_a_broker_killed_in_the_middle_costs_only_time(tmp_path: Path, kind: str) -> None:
    held = chunks(600)
    async with parent_node(tmp_path, kind=kind) as parent:
        for digest, stored in held.items():
            await parent.depot.put(digest, stored)
        async with child_node(tmp_path, "one", parent.broker.children_url) as child, asyncio.TaskGroup() as tasks:
            fetching = tasks.create_task(child.upstream.fetch(list(held)))
            await until(lambda: child.upstream.chunks_in > 50)
            assert not fetching.done()
            assert parent.broker.pid is not None
            os.kill(parent.broker.pid, signal.SIGKILL)
            async with asyncio.timeout(60):
                await fetching
            for digest, stored in held.items():
                assert await child.store.get(digest) == stored


async def test_a_parent_restarted_in_the_middle_costs_only_time(tmp_path: Path, kind: str) -> None:
    held = chunks(600)
    listen = f"127.0.0.1:{free_port('127.0.0.1')}"
    async with AsyncExitStack() as stack:
        async with parent_node(tmp_path, kind=kind, listen=listen) as parent:
            for digest, stored in held.items():
                await parent.depot.put(digest, stored)
            child = await stack.enter_async_context(child_node(tmp_path, "one", parent.broker.children_url))
            tasks = await stack.enter_async_context(asyncio.TaskGroup())
            fetching = tasks.create_task(child.upstream.fetch(list(held)))
            await until(lambda: child.upstream.chunks_in > 50)
        before = child.upstream.chunks_in
        assert not fetching.done()
        async with parent_node(tmp_path, kind=kind, listen=listen) as parent, asyncio.timeout(60):
            await fetching
            assert child.upstream.chunks_in == len(held)
            # what was stored before the restart is not sent again; what was under way may be
            assert parent.streams.bytes_out <= sum(map(len, held.values())) - before * 40_000 + (8 << 20)


async def test_damaged_bytes_are_thrown_away_and_fetched_again(tmp_path: Path, kind: str) -> None:
    ((digest, stored),) = chunks(1).items()
    above = FakeAbove(answers=False)
    async with (
        parent_node(tmp_path, kind=kind, above=above) as parent,
        child_node(tmp_path, "one", parent.broker.children_url) as child,
        asyncio.TaskGroup() as tasks,
    ):
        fetching = tasks.create_task(child.upstream.fetch([digest]))
        await until(lambda: above.wanted == [digest])
        lie = b"\0" + os.urandom(len(stored) - 1)
        piece = Piece(digest, len(lie), 0, len(lie))
        topic = parent.topics.bulk(parent.name, "one")
        await parent.streams._bulk.publish(topic, frame.pieces_head([piece]), lie)
        bad = METRICS.counter("bulk_frames_bad_total", "")
        before = bad.value
        await parent.streams._bulk.publish(topic, b"T2 no frame at all")
        await until(lambda: child.upstream.rejected == 1 and bad.value == before + 1)
        above.library[digest] = stored
        await above.give([digest])
        async with asyncio.timeout(60):
            await fetching
        assert await child.store.get(digest) == stored


async def test_a_dead_child_does_not_hold_up_the_other(tmp_path: Path, kind: str) -> None:
    held = chunks(400)
    async with parent_node(tmp_path, kind=kind) as parent:
        for digest, stored in held.items():
            await parent.depot.put(digest, stored)
        url = parent.broker.children_url
        async with child_node(tmp_path, "one", url) as dead, child_node(tmp_path, "two", url) as alive:
            await until(lambda: dead.upstream.connected and alive.upstream.connected)
            async with asyncio.TaskGroup() as tasks:
                stuck = tasks.create_task(dead.upstream.fetch(list(held)))
                await until(lambda: dead.upstream.chunks_in > 5)
                dead.upstream.hop.bulk.pause()
                async with asyncio.timeout(60):
                    await alive.upstream.fetch(list(held))
                assert not stuck.done()
                dead.upstream.hop.bulk.resume()
                async with asyncio.timeout(60):
                    await stuck


async def test_a_child_that_wants_what_nobody_holds_makes_few_messages(tmp_path: Path, kind: str) -> None:
    wanted, told = os.urandom(32 * 9000), bytearray()
    messages = 0

    async with parent_node(tmp_path, kind=kind, above=FakeAbove()) as parent:
        say = parent.streams._say

        async def count(child: str, message: Message) -> None:
            nonlocal messages
            if isinstance(message, Absent):
                messages += 1
                told.extend(message.digests)
            await say(child, message)

        parent.streams._say = count
        for session in range(4):
            parent.streams.feed(ReportReceived("one", Report(session=session, received=0, window=1, wants=wanted)))
        await until(lambda: len(told) >= len(wanted))
        assert messages <= 40
        assert {told[at : at + 32].hex() for at in range(0, len(told), 32)} == {
            wanted[at : at + 32].hex() for at in range(0, len(wanted), 32)
        }
