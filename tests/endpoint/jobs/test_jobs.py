"""Orders through a whole installer: real journal, store and disk; the parent is a dictionary."""

from __future__ import annotations

import asyncio
import random
import time
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.endpoint.lab import Agent, Region, agent_over, pack

from tiercast_endpoint.jobs import run, turns
from tiercast_endpoint.trees import holdings
from tiercast_endpoint.trees.materials import Limits
from tiercast_protocol.content.package.programs import Program
from tiercast_protocol.transfer import calendar
from tiercast_protocol.wire.messages import StatusRecord

BIG = random.Random(7).randbytes(300_000)
HELLO = {"bin": None, "bin/hello.sh": b"#!/bin/sh\necho hello\n", "big": BIG, "empty": b"", "latest": "bin/hello.sh"}


async def test_install_upgrade_undo_remove(agent: Agent) -> None:
    one = pack("hello", "1.0", HELLO)
    two = pack("hello", "2.0", HELLO | {"new": b"new file", "big": BIG[:200_000] + b"!" + BIG[200_000:]})
    agent.offer(one, two)
    record = await agent.do("j1", "install", one)
    assert (record.state, record.code) == ("done", "")
    assert agent.tree("hello") == HELLO
    assert agent.receipt(record).root == one.root
    assert (agent.root.path / "hello/bin/hello.sh").stat().st_mode & 0o777 == 0o755

    agent.fetcher.fetched.clear()
    assert (await agent.do("j2", "install", two)).state == "done"
    assert agent.tree("hello") == two.files
    assert not set(agent.fetcher.fetched) & one.data, "what the old version holds is not fetched"
    assert len(agent.root.trees()) == 2, "one older version is kept"

    agent.fetcher.fetched.clear()
    agent.fetcher.chunks.clear()
    assert (await agent.do("j3", "install", one)).state == "done"
    assert agent.tree("hello") == HELLO
    assert agent.fetcher.fetched == [], "going back needs nothing from above"

    record = await agent.do("j4", "remove", one)
    assert (record.state, record.code) == ("done", "")
    assert agent.tree("hello") is None
    assert agent.root.trees() == []
    assert await agent.store.digests() == []
    record = await agent.do("j5", "remove", one)
    assert (record.state, record.code) == ("done", "absent")


async def test_again_moves_nothing_and_a_damaged_tree_is_replaced(agent: Agent) -> None:
    one = pack("hello", "1.0", HELLO)
    agent.offer(one)
    await agent.do("j1", "install", one)
    agent.fetcher.fetched.clear()
    record = await agent.do("j2", "install", one)
    assert (record.state, record.code) == ("done", "unchanged")
    assert agent.fetcher.fetched == []
    (agent.root.path / "hello/big").write_bytes(BIG[:-1] + b"?")
    record = await agent.do("j3", "install", one)
    assert (record.state, record.code) == ("done", "")
    assert agent.tree("hello") == HELLO
    assert len(agent.root.trees()) == 1


async def test_programs_run_once_and_stand_in_the_receipt(agent: Agent) -> None:
    files = HELLO | {
        "before.sh": b"#!/bin/sh\necho before $TIERCAST_PACKAGE $TIERCAST_VERSION; pwd\n",
        "after.sh": b"#!/bin/sh\nenv\n",
    }
    package = pack("hello", "1.0", files, run_before=Program(("./before.sh",)), run_after=Program(("./after.sh", "x")))
    agent.offer(package)
    record = await agent.do("j1", "install", package)
    assert record.state == "done"
    before, after = agent.receipt(record).programs
    assert before.output.splitlines()[0] == "before hello 1.0"
    assert ".trees/hello/" in before.output
    assert "TIERCAST_JOB=j1" in after.output
    assert after.argv == ["./after.sh", "x"]


async def test_a_failing_program_leaves_the_old_version(agent: Agent) -> None:
    one = pack("hello", "1.0", HELLO)
    fail = {"fail.sh": b"#!/bin/sh\nexit 3\n"}
    two = pack("hello", "2.0", HELLO | fail, run_before=Program(("./fail.sh",)))
    three = pack("hello", "3.0", HELLO | fail, run_after=Program(("./fail.sh",)))
    agent.offer(one, two, three)
    await agent.do("j1", "install", one)
    for job, package in (("j2", two), ("j3", three)):
        record = await agent.do(job, "install", package)
        assert (record.state, record.code) == ("failed", "program.failed")
        assert agent.receipt(record).programs[0].exit == 3
        assert agent.tree("hello") == HELLO
        assert len(await agent.db.read(holdings.trees)) == 1
    record = await agent.do("j4", "install", pack("none", "1", {"a": b"a"}, run_before=Program(("/no/such",))))
    assert (record.state, record.code) == ("failed", "chunk.missing")


async def test_what_we_did_not_put_there_stays(agent: Agent) -> None:
    (agent.root.path / "hello").write_text("mine")
    one = pack("hello", "1.0", HELLO)
    agent.offer(one)
    assert (await agent.do("j1", "install", one)).code == "path.foreign"
    assert (await agent.do("j2", "remove", one)).code == "path.foreign"
    assert (agent.root.path / "hello").read_text() == "mine"
    assert agent.fetcher.fetched == []


async def test_too_little_room_is_said_with_figures(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    one = pack("hello", "1.0", HELLO)
    agent.offer(one)
    monkeypatch.setattr(agent.root, "free", lambda: 100_000)
    record = await agent.do("j1", "install", one)
    assert record.code == "disk.short"
    assert "100000 bytes are free" in record.detail
    assert not set(agent.fetcher.fetched) & one.data
    monkeypatch.undo()
    assert (await agent.do("j2", "install", one)).state == "done"


async def test_cancel_while_fetching(agent: Agent) -> None:
    one = pack("hello", "1.0", HELLO)
    agent.offer(one)
    agent.fetcher.gate.clear()
    await agent.order(agent.region.order("j1", "install", one))
    cancel = await agent.do("j1", "cancel", None, revision=2)
    assert (await agent.ended("j1")).state == "cancelled"
    assert cancel.state == "cancelled"
    agent.fetcher.gate.set()
    assert (await agent.do("j2", "install", one)).state == "done"
    late = await agent.do("j2", "cancel", None, revision=2)
    assert (late.state, late.code) == ("done", "cancel.late")
    unknown = await agent.do("j3", "cancel", None, revision=2)
    assert (unknown.state, unknown.code) == ("cancelled", "cancel.unknown")
    await agent.order(agent.region.order("j3", "install", one))
    assert not [r for r in agent.post.records if r.job == "j3" and r.revision == 1], "the cancel was later"


async def test_opposite_orders_run_in_order_of_arrival(agent: Agent) -> None:
    one = pack("hello", "1.0", HELLO)
    agent.offer(one)
    agent.fetcher.gate.clear()
    await agent.order(agent.region.order("j1", "install", one))
    await agent.order(agent.region.order("j2", "remove", one))
    await agent.order(agent.region.order("j3", "install", one))
    agent.fetcher.gate.set()
    assert [(await agent.ended(job)).state for job in ("j1", "j2", "j3")] == ["done"] * 3
    order = [r.job for r in agent.post.records if r.receipt]
    assert order == ["j1", "j2", "j3"]
    assert agent.tree("hello") == HELLO


async def test_orders_that_are_refused(agent: Agent) -> None:
    one = pack("hello", "1.0", HELLO)
    agent.offer(one)
    expired = await agent.do("j1", "install", one, issued=1000, life_ms=1)
    assert expired.state == "expired"
    preload = await agent.do("j2", "preload", one)
    assert (preload.state, preload.code) == ("rejected", "order.type")
    newer = replace(region_order := agent.region.order("j6", "install", one), options={"x": 1}, must=["x", "tries"])
    await agent.order(newer)
    record = await agent.ended("j6")
    assert (record.state, record.code, record.detail) == ("rejected", "order.unknown-option", "Not known here: x.")
    assert agent.tree("hello") is None, "it is never done as if the option were not there"
    await agent.order(replace(region_order, job="j7", type="teleport"))
    assert (await agent.ended("j7")).code == "order.type"
    agent.region.epoch = 5
    assert (await agent.do("j3", "remove", one)).state == "done"
    old = await agent.do("j4", "install", one, epoch=4)
    assert (old.state, old.code) == ("rejected", "order.epoch")
    assert agent.tree("hello") is None


async def test_an_order_that_comes_twice_acts_once(agent: Agent) -> None:
    one = pack("hello", "1.0", HELLO)
    agent.offer(one)
    order = agent.region.order("j1", "install", one)
    await agent.order(order)
    first = await agent.ended("j1")
    await agent.order(order)
    finals = [r for r in agent.post.records if r.receipt]
    assert finals == [first, first], "it is answered again, with the same receipt"


async def test_sequence_numbers_grow(agent: Agent) -> None:
    one = pack("hello", "1.0", HELLO)
    agent.offer(one)
    await agent.do("j1", "install", one)
    await agent.do("j2", "remove", one)
    numbers = [r.seq for r in agent.post.records]
    assert numbers == sorted(set(numbers))
    states = [r.state for r in agent.post.records if r.job == "j1"]
    way = ["waiting", "fetching", "staged", "installing", "done"]
    assert states[-1] == "done"
    assert sorted(set(states), key=way.index) == list(dict.fromkeys(states)), "what lasted a moment may be missing"


async def test_an_order_expires_while_it_waits_for_chunks(agent: Agent) -> None:
    one = pack("hello", "1.0", HELLO)
    agent.fetcher.gate.clear()
    record = await agent.do("j1", "install", one, life_ms=300)
    assert record.state == "expired"
    assert list((agent.root.path / ".staging").iterdir()) == []


async def test_a_receipt_is_repeated_until_it_is_in_the_outbox(tmp_path: Path, region: Region) -> None:
    one = pack("hello", "1.0", HELLO)
    async with agent_over(tmp_path / "a", region, chunks=one.chunks) as agent:
        first = await agent.do("j1", "install", one)
        async with asyncio.timeout(60):
            await agent.jobs.idle.wait()
        await agent.db.write(lambda connection: connection.execute("UPDATE job SET reported=0"))
    async with agent_over(tmp_path / "a", region) as agent:
        assert await agent.ended("j1") == first
    async with agent_over(tmp_path / "a", region) as agent:
        assert agent.post.records == []


async def test_a_root_is_asked_for_before_the_turn_unless_it_is_held(agent: Agent) -> None:
    one = pack("hello", "1.0", HELLO)
    agent.offer(one)
    await agent.do("j1", "install", one)
    assert agent.fetcher.wanted == [(one.root, "j1")]
    await agent.do("j2", "install", one)
    await agent.do("j3", "remove", one)
    assert agent.fetcher.wanted == [(one.root, "j1")]
    assert one.root in agent.fetcher.unwanted, "what a job expected is not wanted after it"


def soon(**seconds: float) -> dict[str, str | int | bool]:
    """Moments so many seconds from now, as an order's options."""
    return {word: int((time.time() + ahead) * 1000) for word, ahead in seconds.items()}


async def told(agent: Agent, code: str) -> StatusRecord:
    """The first record with this code, when it came."""
    async with asyncio.timeout(60), agent.post.final:
        while not (found := [record for record in agent.post.records if record.code == code]):
            await agent.post.final.wait()
        return found[0]


async def test_what_is_prepared_waits_over_a_restart_and_lets_others_pass(tmp_path: Path, region: Region) -> None:
    one, two, other = (
        pack("hello", "1.0", {"a": b"one"}),
        pack("hello", "2.0", {"a": b"two"}),
        pack("x", "1", {"a": b"x"}),
    )
    chunks = one.chunks | two.chunks | other.chunks
    async with agent_over(tmp_path / "a", region, chunks=chunks) as agent:
        later = replace(region.order("j1", "install", two), options={"install_when": "start"})
        await agent.order(later)
        waits = await told(agent, "agent.start")
        assert (waits.job, waits.state) == ("j1", "staged")
        assert agent.tree("hello") is None
        # Another version of the same package goes before it, and leaves its tree alone.
        assert (await agent.do("j2", "install", one)).state == "done"
        assert agent.tree("hello") == one.files
        agent.fetcher.fetched.clear()
    async with agent_over(tmp_path / "a", region) as agent:
        record = await agent.ended("j1")
        assert (record.state, agent.tree("hello")) == ("done", two.files)
        assert agent.fetcher.fetched == []


async def test_two_times(tmp_path: Path, region: Region) -> None:
    package = pack("hello", "1.0", {"a": b"one"})
    async with agent_over(tmp_path / "a", region, chunks=package.chunks) as agent:
        order = replace(region.order("j1", "install", package), options=soon(distribute_at=0.4, install_at=1.2))
        await agent.order(order)
        await told(agent, "time.distribute")
        assert (agent.fetcher.fetched, agent.fetcher.wanted) == ([], [])
        await told(agent, "time.install")
        assert agent.fetcher.fetched
        assert agent.tree("hello") is None
        record = await agent.ended("j1")
        assert record.state == "done"
        assert agent.receipt(record).finished >= int(order.options["install_at"])


async def test_what_waits_blocks_nobody(tmp_path: Path, region: Region) -> None:
    packages = [pack(f"p{n}", "1.0", {"a": b"%d" % n}) for n in range(turns.AT_ONCE + 2)]
    chunks = {digest: stored for package in packages for digest, stored in package.chunks.items()}
    async with agent_over(tmp_path / "a", region, chunks=chunks) as agent:
        for package in packages[:-1]:
            order = region.order(f"j-{package.name}", "install", package)
            await agent.order(replace(order, options=soon(install_at=3600)))
        assert (await agent.do("j1", "install", packages[-1])).state == "done"
        for package in packages[:-1]:
            await agent.order(region.order(f"j-{package.name}", "cancel", None, revision=2))
        for package in packages[:-1]:
            assert (await agent.ended(f"j-{package.name}")).state == "cancelled"
            assert (await agent.ended(f"j-{package.name}", 2)).state == "cancelled"
        assert set(agent.root.trees()) == {tree.tree for tree in await agent.db.read(holdings.trees)}
        assert len(agent.root.trees()) == 1


async def test_a_fetch_that_fails_is_tried_again_and_counted(tmp_path: Path, region: Region) -> None:
    package = pack("hello", "1.0", {"a": b"one"})
    async with agent_over(tmp_path / "a", region) as agent:
        options: dict[str, str | int | bool] = {"tries": 3, "try_pause_s": 1, "try_codes": "chunk.missing"}
        await agent.order(replace(region.order("j1", "install", package), options=options))
        waits = await told(agent, "retry.pause")
        assert "chunk.missing" in waits.detail
        agent.offer(package)
        record = await agent.ended("j1")
        assert (record.state, record.attempt) == ("done", 2)
        assert agent.receipt(record).attempt == 2


async def test_the_way_here_may_take_too_long(tmp_path: Path, region: Region) -> None:
    package = pack("hello", "1.0", {"a": b"one"})
    async with agent_over(tmp_path / "a", region, chunks=package.chunks) as agent:
        agent.fetcher.gate.clear()
        await agent.order(replace(region.order("j1", "install", package), options={"send_timeout_s": 1}))
        record = await agent.ended("j1")
        assert (record.state, record.code) == ("failed", "send.timeout")
        assert "within 1 s" in record.detail
        agent.fetcher.gate.set()
        await agent.order(replace(region.order("j2", "install", package), options={"send_timeout_s": 60}))
        assert (await agent.ended("j2")).state == "done"


async def test_a_forced_cancel_does_not_wait_for_a_program(tmp_path: Path, region: Region) -> None:
    one = pack("hello", "1.0", {"a": b"one"})
    two = pack("hello", "2.0", {"a.sh": b"#!/bin/sh\nsleep 60\n"}, run_after=Program(("./a.sh",)))
    async with agent_over(tmp_path / "a", region, chunks=one.chunks | two.chunks) as agent:
        assert (await agent.do("j1", "install", one)).state == "done"
        await agent.order(region.order("j2", "install", two))
        async with asyncio.timeout(60):
            while not (await agent.row("j2")).running:  # noqa: ASYNC110 - the journal has no event
                await asyncio.sleep(0.01)
        await agent.order(replace(region.order("j2", "cancel", None, revision=2), options={"force": True}))
        record = await agent.ended("j2")
        assert (record.state, record.code) == ("cancelled", "cancel.forced")
        assert agent.tree("hello") == one.files


async def test_a_program_is_killed_as_its_declared_time_is_over(tmp_path: Path, region: Region) -> None:
    package = pack("hello", "1.0", {"a.sh": b"#!/bin/sh\nsleep 60\n"}, run_before=Program(("./a.sh",)))
    async with agent_over(tmp_path / "a", region, chunks=package.chunks) as agent:
        await agent.order(replace(region.order("j1", "install", package), options={"max_duration_s": 1}))
        record = await agent.ended("j1")
        assert (record.state, record.code) == ("failed", "duration.over")


async def test_what_waits_for_the_stop_is_installed_as_the_agent_stops(tmp_path: Path, region: Region) -> None:
    package = pack("hello", "1.0", {"a": b"one"})
    async with agent_over(tmp_path / "a", region, chunks=package.chunks) as agent:
        await agent.order(replace(region.order("j1", "install", package), options={"install_when": "shutdown"}))
        await told(agent, "agent.stop")
        await agent.jobs.stopping(30)
        assert (await agent.ended("j1")).state == "done"


async def test_a_clock_that_is_set_frees_what_waits_and_one_set_back_does_not(
    tmp_path: Path, region: Region, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "_REST_LOOK_S", 0.02)
    package = pack("hello", "1.0", {"a": b"one"})
    step = 0

    def clock() -> int:
        return int(time.time() * 1000) + step

    async with agent_over(tmp_path / "a", region, chunks=package.chunks, clock=clock) as agent:
        options = soon(install_at=7200)
        await agent.order(replace(region.order("j1", "install", package, life_ms=90_000_000), options=options))
        await told(agent, "time.install")
        step = -86_400_000
        other = pack("other", "1.0", {"a": b"x"})
        agent.offer(other)
        assert (await agent.do("j2", "install", other)).state == "done"
        assert agent.tree("hello") is None
        assert (await agent.row("j1")).finished == 0
        step = 7_300_000
        assert (await agent.ended("j1")).state == "done"


async def test_the_owners_window_is_kept_for_packages_and_nothing_else(tmp_path: Path, region: Region) -> None:
    today = time.localtime().tm_wday
    shut = calendar.parse(f"{calendar.DAYS[(today + 3) % 7]} 01:00-02:00")
    package = pack("hello", "1.0", {"a": b"one"})
    limits = Limits(reserve=0, windows=shut)
    async with agent_over(tmp_path / "a", region, chunks=package.chunks, limits=limits) as agent:
        await agent.order(region.order("j1", "install", package))
        waits = await told(agent, "window.shut")
        assert waits.state == "staged"
        options: dict[str, str | int | bool] = {"text": "hello"}
        await agent.order(replace(region.order("j2", "message", None), options=options))
        assert (await agent.ended("j2")).state == "done"


async def test_it_waits_for_a_program_to_be_ended(
    tmp_path: Path, region: Region, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "_PROGRAMS_LOOK_S", 0.02)
    runs = ["editor"]
    monkeypatch.setattr(run, "first_running", lambda names: next((name for name in names if name in runs), ""))
    package = pack("hello", "1.0", {"a": b"one"})
    async with agent_over(tmp_path / "a", region, chunks=package.chunks) as agent:
        options: dict[str, str | int | bool] = {"install_unless": "viewer,editor"}
        await agent.order(replace(region.order("j1", "install", package), options=options))
        waits = await told(agent, "app.running")
        assert waits.state == "staged"
        assert "editor" in waits.detail
        runs.clear()
        assert (await agent.ended("j1")).state == "done"
