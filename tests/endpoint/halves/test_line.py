"""Two sides that ask each other over one connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tiercast_endpoint.halves import line as lines
from tiercast_endpoint.halves.line import Line, Refusal
from tiercast_protocol.errors import MessageInvalid
from tiercast_protocol.node.control import framing

FAR: list[Line] = []


async def far(verb: str, args: dict[str, Any]) -> Any:
    match verb:
        case "echo":
            return args
        case "back":
            return await FAR[-1].ask("near")
        case "refuse":
            raise Refusal("no.way", "Because.")
        case "wait":
            return await asyncio.Event().wait()
        case _:
            raise ValueError(verb)


async def near(verb: str, args: dict[str, Any]) -> Any:
    return [verb, args]


@asynccontextmanager
async def pair(folder: Path) -> AsyncIterator[Line]:
    async with asyncio.TaskGroup() as tasks:

        async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            FAR.append(Line(reader, writer, far))
            try:
                await FAR[-1].run()
            except MessageInvalid:
                return

        server = await asyncio.start_unix_server(served, str(folder / "s"))
        reader, writer = await asyncio.open_unix_connection(str(folder / "s"))
        mine = Line(reader, writer, near)
        tasks.create_task(mine.run())
        yield mine
        mine.close()
        server.close()


async def test_both_ask_and_both_answer(tmp_path: Path) -> None:
    async with pair(tmp_path) as mine:
        assert await mine.ask("echo", a=b"x", b=[1]) == {"a": b"x", "b": [1]}
        assert await mine.ask("back") == ["near", {}]
        many = await asyncio.gather(*(mine.ask("echo", n=n) for n in range(lines.MOST)))
        assert [one["n"] for one in many] == list(range(lines.MOST))
        with pytest.raises(Refusal, match=r"no\.way: Because\."):
            await mine.ask("refuse")
        with pytest.raises(Refusal, match=r"agent\.bug"):
            await mine.ask("bug")
        assert not mine.busy


async def test_who_waits_no_more_says_so(tmp_path: Path) -> None:
    async with pair(tmp_path) as mine:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await mine.ask("wait")
        assert not FAR[-1].busy, "the other side has let go"
        assert await mine.ask("echo") == {}


async def test_an_end_is_an_error_for_who_waits(tmp_path: Path) -> None:
    async with pair(tmp_path) as mine, asyncio.TaskGroup() as tasks:
        await mine.ask("echo")
        waiting = tasks.create_task(asyncio.wait_for(_lost(mine), 10))
        while not mine.busy:  # noqa: ASYNC110 - no event for us
            await asyncio.sleep(0)
        FAR[-1].close()
        await waiting
        with pytest.raises(ConnectionError):
            await mine.ask("echo")


async def _lost(mine: Line) -> None:
    with pytest.raises(ConnectionError):
        await mine.ask("wait")


@pytest.mark.parametrize(
    "frame",
    [
        {"id": 1, "verb": "echo"},
        {"id": 1, "verb": "echo", "args": [1]},
        {"id": -1, "verb": "echo", "args": {}},
    ],
)
async def test_what_can_not_be_read_ends_it(tmp_path: Path, frame: dict[str, Any]) -> None:
    async with pair(tmp_path) as mine:
        mine._writer.write(framing.pack(frame))
        async with asyncio.timeout(60):
            while not mine.ended:  # noqa: ASYNC110 - no event for us
                await asyncio.sleep(0.001)


async def test_too_much_at_a_time_ends_it(tmp_path: Path) -> None:
    async with pair(tmp_path) as mine:
        for number in range(1, lines.MOST + 3):
            mine._writer.write(framing.pack({"id": number, "verb": "wait", "args": {}}))
        async with asyncio.timeout(60):
            while not mine.ended:  # noqa: ASYNC110 - no event for us
                await asyncio.sleep(0.001)
