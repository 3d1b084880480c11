"""A package's own check on the machine: asked right before the installation, and its no is waited out or skipped."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from tests.endpoint.lab import Agent, Content, Package, pack

from tiercast_protocol.content.package.check import Check, packed

USUAL: dict[str, Any] = {"every_s": 1}


def checked(script: str, *, needs: str = "tree", **more: Any) -> Package:
    argv = ("./check.sh", "yes") if needs == "tree" else ("/bin/sh", "-c", script)
    check = Check(argv, **{**USUAL, **more}, needs=needs)
    files: Content = {"check.sh": b"#!/bin/sh\n" + script.encode(), "data": b"d" * 1000}
    return pack("hello", "1.0", files, check=check)


async def waits(agent: Agent, code: str) -> str:
    records = agent.post.records
    async with asyncio.timeout(60), agent.post.final:
        await agent.post.final.wait_for(lambda: any(record.code == code for record in records))
    return next(record.detail for record in records if record.code == code)


async def test_a_check_of_the_tree_is_asked_before_the_installation_and_stands_in_the_receipt(agent: Agent) -> None:
    package = checked('echo "licence of $1 found"')
    agent.offer(package)
    record = await agent.do("j1", "install", package)
    receipt = agent.receipt(record)
    assert (record.state, receipt.detail) == ("done", "Its check ./check.sh said yes.")
    (program,) = receipt.programs
    assert (program.argv, program.exit, program.output) == (["./check.sh", "yes"], 0, "licence of yes found\n")


async def test_a_no_is_waited_out(agent: Agent, tmp_path: Path) -> None:
    flag = tmp_path / "licence"
    package = checked(f"test -e {flag} || {{ echo no licence; exit 3; }}")
    agent.offer(package)
    await agent.order(agent.region.order("j1", "install", package))
    assert "ended with status 3: no licence" in await waits(agent, "check.false")
    assert agent.tree("hello") is None
    flag.touch()
    record = await agent.ended("j1")
    assert record.state == "done"
    assert [one.exit for one in agent.receipt(record).programs] == [0], "the last answer"


async def test_a_no_skips_where_that_was_ordered(agent: Agent) -> None:
    package = checked("exit 1")
    agent.offer(package)
    record = await agent.do("j1", "install", package, options={"condition_false": "skip"})
    assert (record.state, record.code) == ("done", "condition.skipped")
    assert [one.exit for one in agent.receipt(record).programs] == [1]
    assert agent.tree("hello") is None


async def test_what_needs_the_machine_alone_is_asked_before_the_fetch(agent: Agent, tmp_path: Path) -> None:
    flag = tmp_path / "licence"
    package = checked(f"test -e {flag}", needs="machine")
    agent.offer(package)
    check = Check(("/bin/sh", "-c", f"test -e {flag}"), **USUAL, needs="machine")
    await agent.order(agent.region.order("j1", "install", package, options={"package_check": packed(check)}))
    await waits(agent, "check.false")
    assert agent.fetcher.fetched == []
    flag.touch()
    assert (await agent.ended("j1")).state == "done"


@pytest.mark.parametrize(
    ("script", "more", "answer"),
    [
        ("sleep 60", {"timeout_s": 1}, "was killed after 1 s"),
        ("kill -9 $$", {}, "ended with status -9"),
        ("yes | head -c 10000000; exit 2", {"output_limit": 100}, "ended with status 2"),
    ],
)
async def test_whatever_it_does_instead_of_answering_is_no(
    agent: Agent, script: str, more: dict[str, Any], answer: str
) -> None:
    package = checked(script, **more)
    agent.offer(package)
    await agent.order(agent.region.order("j1", "install", package))
    assert answer in await waits(agent, "check.false")


async def test_a_check_that_can_not_be_started_is_no(agent: Agent) -> None:
    package = pack("hello", "1.0", {"a": b"a"}, check=Check(("/no/such/program",), **USUAL))
    agent.offer(package)
    await agent.order(agent.region.order("j1", "install", package))
    assert "could not be started" in await waits(agent, "check.false")


async def test_what_waits_for_other_things_is_not_asked(agent: Agent, tmp_path: Path) -> None:
    asked = tmp_path / "asked"
    package = checked(f"touch {asked}")
    agent.offer(package)
    await agent.order(agent.region.order("j1", "install", package))
    assert (await agent.ended("j1")).state == "done"
    asked.unlink()
    await agent.owner("owner.hold")
    await agent.order(agent.region.order("j2", "install", package))
    await waits(agent, "owner.held")
    assert not asked.exists()
