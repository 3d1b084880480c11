"""The client's half."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tiercast_protocol.errors import UsageError
from tiercast_protocol.node import lifecycle
from tiercast_protocol.node.control import framing
from tiercast_protocol.node.control.client import connect
from tiercast_protocol.node.control.server import ControlServer
from tiercast_protocol.node.control.verbs import Call, Verbs


class Echo:
    def __init__(self) -> None:
        self.left = asyncio.Event()
        self.verbs = Verbs()
        self.verbs.add("echo", "viewer", self.echo)
        self.verbs.add("count", "viewer", self.count)
        self.gate = asyncio.Event()

    async def echo(self, call: Call) -> object:
        if call.args.get("wait"):
            await self.gate.wait()
        return call.args.get("value")

    async def count(self, call: Call) -> AsyncIterator[int]:
        try:
            for n in range(call.number("to")):
                yield n
            if call.flag("fail", False):
                raise UsageError("x.y", "half way")
            if call.flag("stay", False):
                await asyncio.Event().wait()
        finally:
            self.left.set()


@pytest.fixture
def echo() -> Echo:
    return Echo()


@pytest.fixture
async def path(tmp_path: Path, echo: Echo) -> AsyncIterator[Path]:
    async with ControlServer(tmp_path / "c", echo.verbs) as server:
        yield server.path


@pytest.mark.parametrize("value", [None, 1, "ä", b"\0\xff", [1, [2, {"a": None}]], {"x": True}, 2**63, -1.5])
async def test_plain_values_pass(path: Path, value: object) -> None:
    async with connect(path) as client:
        assert await client.call("echo", value=value) == value


async def test_four_mebibytes_there_and_back(path: Path) -> None:
    async with connect(path) as client:
        data = b"x" * (4 << 20)
        assert await client.call("echo", value=data) == data


async def test_many_calls_at_once_answered_out_of_order(path: Path, echo: Echo) -> None:
    async with connect(path) as client, asyncio.TaskGroup() as tasks:
        late = [tasks.create_task(client.call("echo", value=n, wait=True)) for n in range(5)]
        assert await client.call("echo", value="first") == "first"
        assert [item async for item in client.stream("count", to=3)] == [0, 1, 2]
        assert not any(task.done() for task in late)
        echo.gate.set()
        assert [await task for task in late] == [0, 1, 2, 3, 4]


async def test_leaving_a_stream_early_stops_it(path: Path, echo: Echo) -> None:
    async with connect(path) as client:
        items = client.stream("count", to=2, stay=True)
        async for item in items:
            if item == 1:
                break
        await items.aclose()  # type: ignore[attr-defined]
        await asyncio.wait_for(echo.left.wait(), 60)
        assert await client.call("echo", value=7) == 7


async def test_a_stream_can_fail_half_way(path: Path) -> None:
    async with connect(path) as client:
        items = client.stream("count", to=2, fail=True)
        assert [await anext(items), await anext(items)] == [0, 1]
        with pytest.raises(UsageError, match="half way"):
            await anext(items)


async def test_no_daemon(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No daemon listens at") as caught:
        async with connect(tmp_path / "none"):
            pass
    assert caught.value.code == "daemon.unreachable"
    assert lifecycle.exit_code_for(caught.value) == 3


async def test_what_can_not_be_asked_harms_nothing(path: Path) -> None:
    async with connect(path) as client:
        with pytest.raises(UsageError, match="can't be asked"):
            await client.call("echo", value=b"x" * framing.MAX_FRAME)
        assert await client.call("echo", value=1) == 1


@pytest.mark.parametrize("answer", [b"", b"\0\0\0\5garbage", framing.pack({"id": 1, "error": "odd"})])
async def test_a_daemon_that_dies_or_raves(tmp_path: Path, answer: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        writer.write(answer)
        writer.close()

    async with await asyncio.start_unix_server(serve, tmp_path / "s"), connect(tmp_path / "s") as client:
        with pytest.raises(UsageError) as caught:
            await client.call("echo")
    assert caught.value.code == ("daemon.failed" if b"odd" in answer else "daemon.unreachable")
