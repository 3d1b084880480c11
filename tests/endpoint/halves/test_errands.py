"""Programs that need root's rights, and restarts, are the root half's: proved, and no sooner than due."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.endpoint.halves.test_roothalf import question, steps
from tests.endpoint.lab import Region, agent_over, pack
from tests.endpoint.two import Other, asking, root_half

from tiercast_endpoint.halves.line import Line, Refusal
from tiercast_protocol.content.package.check import Check
from tiercast_protocol.content.package.confirmed import Confirmation
from tiercast_protocol.content.trust.keys import PrivateKey

FILES: dict[str, bytes | str | None] = {"health.sh": b'#!/bin/sh\necho "$TIERCAST_VERSION"; exit 0\n'}
CONFIRM = Confirmation(argv=("./health.sh",), timeout_s=30, within_s=60, every_s=1)


@pytest.fixture
async def other(tmp_path: Path, region: Region) -> AsyncIterator[Other]:
    (tmp_path / "life").write_text("one")
    script = tmp_path / "reboot"
    script.write_text(f"#!/bin/sh\necho x >> {tmp_path}/told\n")
    script.chmod(0o755)
    async with root_half(tmp_path, region, reboot=(str(script),), boot_id=str(tmp_path / "life")) as half:
        yield half


async def refused(line: Line, verb: str, **args: Any) -> str:
    with pytest.raises(Refusal) as found:
        await line.ask(verb, **args)
    return found.value.code


async def test_the_two_halves_confirm_and_check_by_the_root_half(
    other: Other, tmp_path: Path, region: Region, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = tmp_path / "who"
    check = Check(argv=("/bin/sh", "-c", f"echo check >> {told}"), needs="tree")
    files = {**FILES, "health.sh": f"#!/bin/sh\necho health >> {told}\n".encode()}
    one = pack("app", "1.0", files, confirm=CONFIRM, check=check)
    asked: list[str] = []
    run = other.half._errands.run

    async def heard(verb: str, *args: Any) -> Any:
        asked.append(verb)
        return await run(verb, *args)

    monkeypatch.setattr(other.half._errands, "run", heard)
    async with agent_over(tmp_path / "agent", region, root_half=other.path) as agent:
        agent.offer(one)
        record = await agent.do("j1", "install", one)
        assert (record.state, record.code) == ("done", ""), record.detail
    assert asked == ["check", "health"]
    assert told.read_text().split() == ["check", "health"]


async def test_a_check_that_says_no_keeps_it_off(other: Other, tmp_path: Path, region: Region) -> None:
    check = Check(argv=("/bin/sh", "-c", "echo not today; exit 9"), needs="tree")
    one = pack("app", "1.0", FILES, check=check)
    async with agent_over(tmp_path / "agent", region, root_half=other.path) as agent:
        agent.offer(one)
        record = await agent.do("j1", "install", one, options={"condition_false": "skip"})
        assert (record.state, record.code) == ("done", "condition.skipped"), record
        assert "ended with status 9: not today" in record.detail


async def test_no_program_is_asked_before_it_is_due_or_for_others(other: Other, tmp_path: Path, region: Region) -> None:
    one, plain = pack("app", "1.0", FILES, confirm=CONFIRM), pack("plain", "1.0", FILES)
    order, bare = region.order("j1", "install", one), region.order("j2", "install", plain)
    thief = replace(region, key=PrivateKey.generate())
    async with asking(other.path, one.chunks | plain.chunks) as line:

        def said(which: Any) -> dict[str, Any]:
            return {"bundle": question(region, which, "plan")["bundle"]}

        assert await refused(line, "health", **question(thief, order, "plan")) == "half.order-invalid"
        assert await refused(line, "health", **said(order)) == "half.order"
        await steps(line, region, order, "plan", "assemble")
        assert await refused(line, "health", **said(order)) == "half.order"
        assert await refused(line, "check", **said(order)) == "half.order"
        await steps(line, region, order, "switch")
        answer = await line.ask("health", **said(order))
        assert (answer["exit"], answer["output"]) == (0, "1.0\n")
        await steps(line, region, order, "settle")
        assert await refused(line, "health", **said(order)) == "half.over"
        await steps(line, region, bare, "plan", "assemble", "switch")
        assert await refused(line, "health", **said(bare)) == "half.step"
        assert await refused(line, "reboot", **said(bare)) == "half.order"
    assert not (tmp_path / "told").exists()


async def test_the_machine_is_restarted_once_for_a_job_that_has_that_before_it(
    other: Other, tmp_path: Path, region: Region
) -> None:
    one = pack("app", "1.0", FILES, reboot="now")
    order = region.order("j1", "install", one)
    asked = {"bundle": question(region, order, "plan")["bundle"]}
    async with asking(other.path, one.chunks) as line:
        await steps(line, region, order, "plan", "assemble")
        assert await refused(line, "reboot", **asked) == "half.order"
        await steps(line, region, order, "switch")
        assert await line.ask("reboot", **asked) == [True, 0, False]
        (tmp_path / "life").write_text("two")
        assert await refused(line, "reboot", **asked) == "half.order"
        await steps(line, region, order, "settle")
    assert (tmp_path / "told").read_text() == "x\n"
