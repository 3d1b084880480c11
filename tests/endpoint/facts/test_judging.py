"""Conditions and needs through a whole installer: tested before the fetch and right before the installation."""

from __future__ import annotations

import pytest
from tests.endpoint.lab import Agent, pack
from tests.endpoint.owner.test_choosing import told

from tiercast_endpoint.facts import judging

HELLO = pack("hello", "1.0", {"a": b"a" * 100_000})
SEALED = pack("hello", "2.0", {"a": b"a" * 90_000}, condition="cpus >= 8")
NEEDY = pack("needy", "1.0", {"a": b"n" * 50_000}, requires=("tool >= 2",))
TOOL = pack("tool", "2.1", {"b": b"b"})
OLD_TOOL = pack("tool", "1.0", {"b": b"c"})


async def test_what_is_not_true_is_not_fetched_and_waits_with_its_values(agent: Agent) -> None:
    agent.offer(HELLO)
    condition = 'cpus >= 8 && !("rival" in packages)'
    await agent.order(agent.region.order("j1", "install", HELLO, options={"condition": condition}))
    await told(agent, "j1", "condition.false")
    assert agent.fetcher.fetched == []
    row = (await agent.owner("owner.list"))["jobs"][0]
    assert row["chain"][0]["facts"]["values"] == "cpus = 4, packages.rival absent"
    agent.facts["cpus"] = 8
    agent.jobs.facts_changed()
    record = await agent.ended("j1")
    assert record.state == "done"
    assert agent.receipt(record).detail == f"Its condition {condition} was true: cpus = 8, packages.rival absent."


async def test_a_false_condition_may_end_the_job(agent: Agent) -> None:
    agent.offer(HELLO)
    options: dict[str, str | int | bool] = {"condition": "cpus >= 8", "condition_false": "skip"}
    record = await agent.do("j1", "install", HELLO, options=options)
    assert (record.state, record.code) == ("done", "condition.skipped")
    assert "cpus = 4" in agent.receipt(record).detail
    assert agent.fetcher.fetched == []
    assert agent.tree("hello") is None


async def test_the_sealed_condition_counts_though_the_order_leaves_it_out(agent: Agent) -> None:
    agent.offer(SEALED)
    await agent.order(agent.region.order("j1", "install", SEALED))
    await told(agent, "j1", "condition.false")
    assert agent.tree("hello") is None
    agent.facts["cpus"] = 8
    agent.jobs.facts_changed()
    assert (await agent.ended("j1")).state == "done"


async def test_it_is_tested_again_right_before_the_installation(agent: Agent) -> None:
    agent.offer(HELLO)
    options: dict[str, str | int | bool] = {"condition": "cpus == 4", "install_when": "shutdown"}
    await agent.order(agent.region.order("j1", "install", HELLO, options=options))
    await told(agent, "j1", "agent.stop")
    agent.facts["cpus"] = 2
    await agent.jobs.stopping(20)
    await told(agent, "j1", "condition.false")
    assert agent.tree("hello") is None


async def test_an_order_that_names_no_fact_is_rejected(agent: Agent) -> None:
    record = await agent.do("j1", "install", HELLO, options={"condition": "speed > 3"})
    assert (record.state, record.code) == ("rejected", "order.terms")
    assert "speed" in record.detail


async def test_a_dependency_is_waited_for_and_its_failure_told_until_it_is_there(agent: Agent) -> None:
    agent.offer(NEEDY, OLD_TOOL)
    options: dict[str, str | int | bool] = {"package_requires": "tool >= 2"}
    await agent.order(agent.region.order("j1", "install", NEEDY, options=options))
    await told(agent, "j1", "dependency.missing")
    assert agent.fetcher.fetched == []
    assert (await agent.do("j2", "install", OLD_TOOL)).state == "done"
    assert (await agent.do("j3", "install", TOOL)).code == "chunk.missing"
    await told(agent, "j1", "dependency.failed")
    row = (await agent.owner("owner.list"))["jobs"][0]
    assert row["chain"][0]["facts"] == {"needs": "tool >= 2", "job": "j3", "result": "failed chunk.missing"}
    agent.offer(TOOL)
    assert (await agent.do("j4", "install", TOOL)).state == "done"
    assert (await agent.ended("j1")).state == "done"


async def test_what_it_conflicts_with_is_named(agent: Agent) -> None:
    agent.offer(HELLO, TOOL)
    await agent.do("j1", "install", TOOL)
    await agent.order(agent.region.order("j2", "install", HELLO, options={"package_conflicts": "tool < 3"}))
    await told(agent, "j2", "conflict.installed")
    assert (await agent.do("j3", "remove", TOOL)).state == "done"
    assert (await agent.ended("j2")).state == "done"


async def test_what_breaks_while_it_is_tested_holds_the_job_and_not_the_agent(
    agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise KeyError("cel")

    agent.offer(HELLO)
    with monkeypatch.context() as patched:
        patched.setattr(judging, "test", broken)
        await agent.order(agent.region.order("j1", "install", HELLO, options={"condition": "cpus > 1"}))
        await told(agent, "j1", "condition.false")
    agent.jobs.facts_changed()
    assert (await agent.ended("j1")).state == "done"


NEWER = pack("hello", "2.0", {"a": b"2" * 9_000}, replace="newer")
OLDER = pack("hello", "1.9", {"a": b"1" * 9_000}, replace="newer")


async def test_what_may_not_replace_what_stands_is_rejected_before_it_is_fetched(agent: Agent) -> None:
    agent.offer(NEWER, OLDER)
    assert (await agent.do("j1", "install", NEWER)).state == "done"
    agent.fetcher.fetched.clear()
    record = await agent.do("j2", "install", OLDER, options={"package_replace": "newer"})
    assert (record.state, record.code) == ("rejected", "replace.refused")
    assert "2.0 stands there, and 1.9" in agent.receipt(record).detail
    assert agent.fetcher.fetched == []
    sealed = await agent.do("j3", "install", OLDER)
    assert (sealed.state, sealed.code) == ("rejected", "replace.refused"), "the order left it out"
    assert (await agent.do("j4", "install", NEWER)).code == "unchanged"
    assert (await agent.do("j5", "install", OLDER, options={"replace": "any"})).state == "done"


async def test_a_package_that_goes_before_another_is_waited_for(agent: Agent) -> None:
    first = pack("driver", "1", {"a": b"d" * 20_000}, before=("hello",))
    agent.offer(first, HELLO)
    options: dict[str, str | int | bool] = {"package_before": "hello", "install_when": "shutdown"}
    await agent.order(agent.region.order("j1", "install", first, options=options))
    await agent.order(agent.region.order("j2", "install", HELLO))
    await told(agent, "j2", "before.open")
    assert agent.tree("hello") is None
    await agent.jobs.stopping(20)
    assert (await agent.ended("j1")).state == "done"
    assert (await agent.ended("j2")).state == "done"


async def test_what_an_offer_needs_waits_for_the_owner_as_the_offer_does(agent: Agent) -> None:
    agent.offer(TOOL, NEEDY)
    await agent.order(agent.region.order("j2", "install", TOOL, options={"with_offer": "j1"}))
    await told(agent, "j2", "offer.open")
    await agent.order(agent.region.order("j1", "offer", NEEDY, options={"package_requires": "tool >= 2"}))
    await told(agent, "j1", "offer.open")
    assert agent.fetcher.fetched == []
    await agent.owner("owner.accept", job="j1")
    assert (await agent.ended("j2")).state == "done"
    assert (await agent.ended("j1")).state == "done"


async def test_what_a_declined_offer_needed_ends_with_it(agent: Agent) -> None:
    agent.offer(TOOL, NEEDY)
    await agent.order(agent.region.order("j1", "offer", NEEDY))
    await agent.order(agent.region.order("j2", "install", TOOL, options={"with_offer": "j1"}))
    await told(agent, "j2", "offer.open")
    await agent.owner("owner.decline", job="j1")
    record = await agent.ended("j2")
    assert (record.state, record.code) == ("rejected", "offer.declined")
    assert agent.fetcher.fetched == []


async def test_what_another_package_needs_is_not_removed_unless_it_is_forced(agent: Agent) -> None:
    agent.offer(TOOL, NEEDY)
    await agent.do("j1", "install", TOOL)
    await agent.do("j2", "install", NEEDY)
    record = await agent.do("j3", "remove", TOOL)
    assert (record.state, record.code) == ("rejected", "dependency.needed")
    assert agent.receipt(record).detail == "needy 1.0 is installed here and needs tool >= 2."
    assert agent.tree("tool") is not None
    assert (await agent.do("j4", "remove", TOOL, options={"though_needed": True})).state == "done"
    assert (await agent.do("j5", "install", TOOL)).state == "done"
    assert (await agent.do("j6", "remove", NEEDY)).state == "done"
    assert (await agent.do("j7", "remove", TOOL)).state == "done"
