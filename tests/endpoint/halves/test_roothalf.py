"""What an attacker with the network half can make the root half do: nothing that was not signed for this machine."""

from __future__ import annotations

import asyncio
import os
import struct
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.endpoint.lab import Region, pack
from tests.endpoint.two import Other, asking, root_half

from tiercast_endpoint.halves.line import Line, Refusal
from tiercast_protocol.content.jobs.order import Order
from tiercast_protocol.content.package.programs import Program
from tiercast_protocol.content.sealed.chunk import pack as stored_form
from tiercast_protocol.content.trust.keys import PrivateKey
from tiercast_protocol.wire import codec

HOUR = 3_600_000
FILES: dict[str, bytes | str | None] = {"data": os.urandom(300_000), "run.sh": b"#!/bin/sh\necho x >> ../../../ran\n"}


@pytest.fixture
async def other(tmp_path: Path, region: Region) -> AsyncIterator[Other]:
    async with root_half(tmp_path, region) as half:
        yield half


def question(region: Region, order: Order, step: str, **more: Any) -> dict[str, Any]:
    return {"bundle": codec.encode(region.bundle(order)), "step": step, **more}


async def refused(line: Line, **args: Any) -> str:
    with pytest.raises(Refusal) as found:
        await line.ask("perform", **args)
    return found.value.code


async def steps(line: Line, region: Region, order: Order, *names: str) -> list[Any]:
    return [(await line.ask("perform", **question(region, order, name)))["event"] for name in names]


def standing(folder: Path) -> list[str]:
    root = folder / "agent" / "root"
    trees = [str(path.relative_to(root)) for path in (root / ".trees").rglob("*")]
    return sorted([*trees, *(path.name for path in root.iterdir() if path.is_symlink())])


async def test_steps_in_their_order_install(other: Other, tmp_path: Path, region: Region) -> None:
    one = pack("hello", "1.0", FILES)
    order = region.order("j1", "install", one)
    async with asking(other.path, one.chunks) as line:
        events = await steps(line, region, order, "plan", "assemble", "switch", "settle")
    assert [kind for kind, _ in events] == ["StepDone"] * 4
    assert (tmp_path / "agent" / "root" / "hello" / "data").read_bytes() == FILES["data"]


async def test_what_the_region_did_not_sign_for_this_machine(other: Other, tmp_path: Path, region: Region) -> None:
    one = pack("hello", "1.0", FILES)
    order = region.order("j1", "install", one)
    thief = replace(region, key=PrivateKey.generate())
    elsewhere = replace(region, node_key=PrivateKey.generate())
    older = replace(region, generation=2)
    bundle = region.bundle(order)
    changed = codec.encode(msgspec.structs.replace(bundle, order=bundle.order.replace(b"hello", b"evil!")))
    foreign = msgspec.structs.replace(order, region="another")
    async with asking(other.path, one.chunks) as line:
        assert await refused(line, **question(thief, order, "plan")) == "half.order-invalid"
        assert await refused(line, bundle=changed, step="plan") == "half.order-invalid"
        assert await refused(line, **question(region, foreign, "plan")) == "half.order-invalid"
        # signed by the region, for another machine, or for this one before it joined again
        for others in (elsewhere, older):
            theirs = others.order("j2", "install", one)
            assert await refused(line, **question(others, theirs, "plan")) == "half.order-invalid"
        nobody = codec.encode(msgspec.structs.replace(bundle, targets=[]))
        assert await refused(line, bundle=nobody, step="plan") == "half.order-invalid"
        late = region.order("j3", "install", one, issued=1_000_000, life_ms=1)
        assert await refused(line, **question(region, late, "plan")) == "order.expired"
        for garbage in (b"", b"\xff" * 100, None, 7):
            assert (await refused(line, bundle=garbage, step="plan")).startswith("half.")
        assert await refused(line, **question(region, order, "no such step")) == "half.question"
    assert standing(tmp_path) == []


async def test_no_step_is_left_out_and_none_comes_twice(other: Other, tmp_path: Path, region: Region) -> None:
    ran = tmp_path / "agent" / "ran"
    program = Program(argv=("/bin/sh", "-c", f"echo x >> {ran}"))
    one = pack("hello", "1.0", FILES, run_before=program, run_after=program)
    order = region.order("j1", "install", one)
    async with asking(other.path, one.chunks) as line:
        for step in ("assemble", "before", "switch", "after", "settle", "undo", "revert"):
            assert await refused(line, **question(region, order, step)) == "half.order", step
        await steps(line, region, order, "plan", "assemble")
        for step in ("switch", "after", "settle"):
            assert await refused(line, **question(region, order, step)) == "half.order", step
        await steps(line, region, order, "before")
        assert await refused(line, **question(region, order, "before")) == "half.order"
        await steps(line, region, order, "switch", "after")
        assert await refused(line, **question(region, order, "after")) == "half.order"
        assert await refused(line, **question(region, order, "plan")) == "half.order"
        await steps(line, region, order, "settle")
        # over: neither again nor back
        for step in ("plan", "before", "switch", "undo", "settle", "discard"):
            assert await refused(line, **question(region, order, step)) == "half.over", step
    assert ran.read_text().count("x") == 2


async def test_asked_twice_at_the_same_time_it_does_it_once(other: Other, tmp_path: Path, region: Region) -> None:
    ran = tmp_path / "ran"
    one = pack("hello", "1.0", FILES, run_before=Program(argv=("/bin/sh", "-c", f"echo x >> {ran}; sleep 0.2")))
    order = region.order("j1", "install", one)
    async with asking(other.path, one.chunks) as line:
        await steps(line, region, order, "plan", "assemble")
        asked = (line.ask("perform", **question(region, order, "before")) for _ in range(8))
        answers = await asyncio.gather(*asked, return_exceptions=True)
    codes = [answer.code for answer in answers if isinstance(answer, Refusal)]
    assert codes == ["half.order"] * 7
    assert ran.read_text() == "x\n"


async def test_an_old_order_brings_no_old_version_back(other: Other, tmp_path: Path, region: Region) -> None:
    one, two = pack("hello", "1.0", FILES), pack("hello", "2.0", {**FILES, "more": b"x"})
    first = region.order("j1", "install", one)
    fenced = region.order("j0", "install", one)
    region.epoch = 2
    second = region.order("j1", "install", two, revision=2)
    way = ("plan", "assemble", "switch", "settle")
    async with asking(other.path, {**one.chunks, **two.chunks}) as line:
        await steps(line, region, first, *way)
        await steps(line, region, second, *way)
        assert await refused(line, **question(region, first, "plan")) == "half.stale"
        assert await refused(line, **question(region, fenced, "plan")) == "order.epoch"
    assert (tmp_path / "agent" / "root" / "hello" / "more").exists()


async def test_another_life_of_the_half_remembers(tmp_path: Path, region: Region) -> None:
    one = pack("hello", "1.0", FILES)
    order = region.order("j1", "install", one)
    async with root_half(tmp_path, region) as other, asking(other.path, one.chunks) as line:
        await steps(line, region, order, "plan", "assemble", "switch")
    async with root_half(tmp_path, region) as other, asking(other.path, one.chunks) as line:
        await steps(line, region, order, "settle")
        assert await refused(line, **question(region, order, "plan")) == "half.over"
    async with root_half(tmp_path, region) as other, asking(other.path, one.chunks) as line:
        assert await refused(line, **question(region, order, "undo")) == "half.over"


@pytest.mark.parametrize("kind", ["other", "short", "huge", "bomb", "none", "text"])
async def test_bytes_that_are_not_what_was_signed(tmp_path: Path, region: Region, kind: str) -> None:
    one = pack("hello", "1.0", FILES)
    (digest,) = [digest for digest in one.data if len(one.chunks[digest]) > 1000][:1]
    lies: dict[str, Any] = {
        "other": stored_form(b"evil" * 1000),
        "short": one.chunks[digest][:-7],
        "huge": b"\x00" * (3 << 20),
        "bomb": b"\x01" + struct.pack("<IB", 0xFD2FB528, 0xA0) + struct.pack("<I", 0xFFFFFFF0) + b"\x00" * 64,
        "none": None,
        "text": "x",
    }
    order = region.order("j1", "install", one)
    async with root_half(tmp_path, region) as other, asking(other.path, {**one.chunks, digest: lies[kind]}) as line:
        planned, assembled = await steps(line, region, order, "plan", "assemble")
        assert planned[0] == "StepDone"
        assert assembled[0] == "StepFailed"
        assert assembled[1]["code"] in {"package.invalid", "chunk.missing"}
        assert await refused(line, **question(region, order, "switch")) == "half.order"
    assert standing(tmp_path) == []


async def test_its_own_window_holds(tmp_path: Path, region: Region) -> None:
    one = pack("hello", "1.0", FILES)
    order = region.order("j1", "install", one)
    later = region.order("j2", "install", one, options={"install_at": order.issued + HOUR})
    shut = "mon 00:00-00:01" if (order.issued // (24 * HOUR)) % 7 != 4 else "wed 00:00-00:01"
    async with root_half(tmp_path, region, window=shut) as other, asking(other.path, one.chunks) as line:
        await steps(line, region, order, "plan", "assemble")
        assert await refused(line, **question(region, order, "switch")) == "window.shut"
    async with root_half(tmp_path, region) as other, asking(other.path, one.chunks) as line:
        await steps(line, region, later, "plan")
        assert (await refused(line, **question(region, later, "switch"))).startswith("time.")
        await steps(line, region, order, "switch", "settle")


async def test_what_else_can_be_asked_gives_only_what_was_installed(other: Other, region: Region) -> None:
    one = pack("hello", "1.0", FILES)
    async with asking(other.path, one.chunks) as line:
        await steps(line, region, region.order("j1", "install", one), "plan", "assemble", "switch", "settle")
        digest = next(iter(one.data))
        assert await line.ask("known", digests=[digest, b"n" * 32]) == [digest]
        assert await line.ask("read", digests=[b"n" * 32]) is None
        for bad in ([], [b"short"], "text", [1], [b"x" * 32] * 5000):
            with pytest.raises(Refusal):
                await line.ask("known", digests=bad)
        for verb in ("exec", "write", "", "perform"):
            with pytest.raises(Refusal):
                await line.ask(verb)


async def test_strangers_and_garbage(tmp_path: Path, region: Region) -> None:
    async with root_half(tmp_path, region, uids={os.geteuid() + 4242}) as other:
        reader, writer = await asyncio.open_unix_connection(str(other.path))
        assert await reader.read() == b""
        writer.close()
    async with root_half(tmp_path, region) as other:
        for garbage in (b"\xff" * 64, struct.pack(">I", 5) + b"hello", b"GET / HTTP/1.1\r\n\r\n" + b"x" * 100):
            reader, writer = await asyncio.open_unix_connection(str(other.path))
            writer.write(garbage)
            async with asyncio.timeout(60):
                assert await reader.read() == b""
            writer.close()
        async with asking(other.path) as line:
            assert await line.ask("installed") == {"installed": [], "trees": []}
            # one at a time: a second line is closed at once
            reader, writer = await asyncio.open_unix_connection(str(other.path))
            assert await reader.read() == b""
            writer.close()
