"""The owner's verbs through a whole installer: what he says counts at once, over a crash, and within the limits."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from pathlib import Path

import pytest
from tests.endpoint.lab import Agent, Region, agent_over, pack

from tiercast_endpoint.owner import choices
from tiercast_protocol.errors import StoreFull, UsageError

HELLO = pack("hello", "1.0", {"a": b"a" * 100_000})
TOOL = pack("tool", "2.1", {"b": b"b"})


async def told(agent: Agent, job: str, code: str) -> None:
    """The job said that it waits for `code`."""
    async with asyncio.timeout(60), agent.post.final:
        await agent.post.final.wait_for(lambda: _last(agent, job) == code)


def _last(agent: Agent, job: str) -> str:
    found = [record for record in agent.post.records if record.job == job]
    return found[-1].code if found else ""


async def test_a_hold_lets_nothing_begin_and_a_release_lets_it(agent: Agent) -> None:
    agent.offer(HELLO)
    await agent.owner("owner.hold")
    await agent.order(agent.region.order("j1", "install", HELLO))
    await told(agent, "j1", "owner.held")
    assert agent.fetcher.fetched == [], "nothing of it is fetched"
    shown = await agent.owner("owner.list")
    assert shown["held"]["by"] == "alice"
    assert shown["jobs"][0]["chain"][0]["says"] == "held by alice, the owner, with all others"
    await agent.owner("owner.release")
    assert (await agent.ended("j1")).state == "done"
    with pytest.raises(UsageError, match="Not all is held"):
        await agent.owner("owner.release")


async def test_before_the_machine_goes_down_its_owner_has_time_to_choose(agent: Agent) -> None:
    agent.jobs._judge._notice_ms = 3_600_000  # type: ignore[attr-defined]
    for job in ("j1", "j2"):
        await agent.order(agent.region.order(job, "shutdown", None, options={"rejectable": True}))
        await told(agent, job, "owner.notice")
    await agent.owner("owner.reject", job="j1")
    assert (await agent.ended("j1")).code == "owner.rejected"
    await agent.owner("owner.release", job="j2")
    assert (await agent.ended("j2")).code != "owner.rejected", "it began"
    await agent.order(agent.region.order("j3", "shutdown", None, options={"defer_max": 0}))
    assert (await agent.ended("j3")).code != "owner.rejected", "at once, for nothing is left to him"


async def test_a_deferral_fetches_and_counts_and_ends(agent: Agent) -> None:
    agent.offer(HELLO)
    await agent.owner("owner.hold")
    limits = {"defer_max": 1, "rejectable": True}
    await agent.order(agent.region.order("j1", "install", HELLO, options={"install_when": "shutdown", **limits}))
    await told(agent, "j1", "agent.stop")
    with pytest.raises(UsageError, match="deferred 0 of 1 times"):
        await agent.owner("owner.hold", job="j1")
    until = int(time.time() * 1000) + 600_000
    done = await agent.owner("owner.defer", job="j1", until=until)
    assert (done["times"], done["left"]) == (1, 0)
    await told(agent, "j1", "owner.deferred")
    assert agent.fetcher.fetched, "what is deferred is fetched meanwhile"
    with pytest.raises(UsageError, match="deferred 1 of 1 times") as caught:
        await agent.owner("owner.defer", job="j1", until=until)
    assert caught.value.code == "owner.spent"
    await agent.owner("owner.release", job="j1")
    await told(agent, "j1", "agent.stop")
    await agent.jobs.stopping(20)
    record = await agent.ended("j1")
    assert (record.state, agent.receipt(record).detail) == ("done", "Deferred once, last by alice.")
    with pytest.raises(UsageError, match="No open job"):
        await agent.owner("owner.defer", job="j1", until=until)


async def test_a_rejection_ends_what_may_be_rejected_also_while_it_is_fetched(agent: Agent) -> None:
    agent.offer(HELLO)
    agent.fetcher.gate.clear()
    await agent.order(agent.region.order("j1", "install", HELLO, options={"rejectable": True}))
    await agent.order(agent.region.order("j2", "install", TOOL))
    await told(agent, "j1", "")
    with pytest.raises(UsageError, match="--rejectable"):
        await agent.owner("owner.reject", job="j2")
    await agent.owner("owner.reject", job="j1")
    record = await agent.ended("j1")
    assert (record.state, record.code, record.detail) == ("rejected", "owner.rejected", "Rejected by alice.")
    assert agent.tree("hello") is None
    agent.fetcher.gate.set()


async def test_an_offer_waits_for_its_choice(agent: Agent) -> None:
    agent.offer(HELLO, TOOL)
    await agent.order(agent.region.order("j1", "offer", HELLO))
    await agent.order(agent.region.order("j2", "offer", TOOL))
    await told(agent, "j1", "offer.open")
    await told(agent, "j2", "offer.open")
    assert agent.fetcher.fetched == []
    assert [row["job"] for row in await agent.owner("owner.offers")] == ["j1", "j2"]
    await agent.owner("owner.decline", job="j2")
    assert (await agent.ended("j2")).code == "offer.declined"
    await agent.owner("owner.accept", job="j1")
    assert (await agent.ended("j1")).state == "done"
    assert agent.tree("hello") == HELLO.files
    assert await agent.owner("owner.offers") == []
    record = await agent.do("j3", "offer", TOOL, life_ms=300)
    assert (record.state, record.code) == ("expired", "order.expired")


async def test_what_was_confirmed_survives_a_crash(tmp_path: Path, region: Region) -> None:
    async with agent_over(tmp_path, region, chunks=HELLO.chunks | TOOL.chunks) as agent:
        await agent.owner("owner.hold")
        await agent.order(region.order("j1", "offer", TOOL))
        await agent.order(region.order("j2", "install", HELLO, options={"defer_max": 2, "install_when": "shutdown"}))
        await told(agent, "j2", "agent.stop")
        until = int(time.time() * 1000) + 600_000
        await agent.owner("owner.defer", job="j2", until=until)
        await agent.owner("owner.accept", job="j1")
    async with agent_over(tmp_path, region, chunks=HELLO.chunks | TOOL.chunks) as agent:
        await told(agent, "j2", "owner.deferred")
        await told(agent, "j1", "owner.held")
        await agent.owner("owner.release")
        assert (await agent.ended("j1")).state == "done"
        assert agent.choosing.chosen["j2"].times == 1
        assert agent.tree("hello") is None


async def test_what_can_not_be_written_is_taken_back(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise StoreFull(needed=1, free=0, where="agent.db")

    monkeypatch.setattr(choices, "put", full)
    with pytest.raises(StoreFull):
        await agent.owner("owner.hold")
    assert not agent.choosing.chosen[choices.ALL].held


@pytest.mark.parametrize("seed", range(6))
async def test_no_installation_begins_while_it_is_held_deferred_or_its_condition_is_false(
    tmp_path: Path, region: Region, seed: int
) -> None:
    """Every installation's first moment lies outside all spans in which somebody had said no, and been answered."""
    rng = random.Random(seed)
    packages = [pack(f"p{n}", "1", {"a": bytes([n]) * 3000}) for n in range(12)]
    chunks = {digest: stored for one in packages for digest, stored in one.chunks.items()}
    ticks = itertools.count(int(time.time() * 1000))
    spans: list[tuple[str, int, int]] = []

    async def shut(agent: Agent, job: str) -> None:
        """Say no to `job` ("" is all) for a while."""
        deferred = job and rng.random() < 0.5
        try:
            if deferred:
                await agent.owner("owner.defer", job=job, until=next(ticks) + 1_000_000)
            else:
                await agent.owner("owner.hold", job=job)
        except UsageError as error:
            assert error.code in {"job.unknown", "owner.late"}, error  # noqa: PT017 - it came too late
            return
        said = next(ticks)
        await asyncio.sleep(rng.random() * 0.01)
        spans.append((job, said, next(ticks)))
        await agent.owner("owner.release", job=job)

    async with agent_over(tmp_path, region, chunks=chunks, clock=lambda: next(ticks)) as agent:
        agent.facts["cpus"] = 1
        for number, one in enumerate(packages):
            options: dict[str, str | int | bool] = {"condition": "cpus >= 8"} if number % 3 == 0 else {}
            order = region.order(f"j{number}", "install", one, options=options, issued=next(ticks), life_ms=10**8)
            await agent.order(order)
            if rng.random() < 0.7:
                await shut(agent, rng.choice(["", f"j{rng.randrange(number + 1)}"]))
        until_true = next(ticks)
        agent.facts["cpus"] = 8
        agent.jobs.facts_changed()
        for number in range(len(packages)):
            assert (await agent.ended(f"j{number}")).state == "done"
            begun = (await agent.row(f"j{number}")).snapshot.begun
            assert number % 3 or begun > until_true, "its condition was not true"
            for job, said, over in spans:
                assert job not in {"", f"j{number}"} or not said < begun < over, (job, said, begun, over)
