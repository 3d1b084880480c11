"""Calls the verbs of a control socket.

Rules
- One connection carries many calls at once; whoever waits reads for all, so no task stands behind it.
- A UsageError arrives as the daemon raised it.  No daemon: UsageError with code "daemon.unreachable".
- Leaving a stream early tells the daemon, which stops producing.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from tiercast_protocol.errors import MessageInvalid, UsageError
from tiercast_protocol.node.control import framing

_START = (
    "Start it (`tiercast-server run`) and wait until its log says `ready`,"
    " or name another socket with --socket or TIERCAST_SOCKET."
)


class ControlClient:
    """A connection to a daemon; made by `connect`."""

    def __init__(self, path: Path, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._path = path
        self._frames = framing.FrameReader(reader)
        self._writer = writer
        self._ids = itertools.count(1)
        self._boxes: dict[int, deque[framing.Frame]] = {}
        self._reading = False
        self._news = asyncio.Event()
        self._sending = asyncio.Lock()
        self._ended: UsageError | None = None

    async def call(self, verb: str, **args: Any) -> Any:
        """The result of `verb`.  Raises UsageError: as the daemon gave it, or the daemon is gone."""
        id_ = await self._ask(verb, args)
        try:
            return (await self._next(id_)).get("result")
        except asyncio.CancelledError:
            await self._cancel(id_)
            raise
        finally:
            self._boxes.pop(id_, None)

    async def stream(self, verb: str, **args: Any) -> AsyncIterator[Any]:
        """The items of `verb` as they come.  Raises as `call`."""
        id_ = await self._ask(verb, args)
        ended = False
        try:
            while True:
                frame = await self._next(id_)
                if "item" not in frame:
                    ended = True
                    return
                yield frame["item"]
        except UsageError:
            ended = True
            raise
        finally:
            self._boxes.pop(id_, None)
            if not ended:
                await self._cancel(id_)

    async def _ask(self, verb: str, args: dict[str, Any]) -> int:
        if self._ended is not None:
            raise self._ended
        id_ = next(self._ids)
        self._boxes[id_] = deque()
        try:
            data = framing.pack({"id": id_, "verb": verb, "args": args})
        except MessageInvalid as error:
            self._boxes.pop(id_, None)
            raise UsageError("argument.invalid", f"{verb} can't be asked: {error.reason}", verb) from error
        await self._send(data)
        return id_

    async def _send(self, data: bytes) -> None:
        try:
            async with self._sending:
                self._writer.write(data)
                await self._writer.drain()
        except OSError:  # why it ended stands in what the daemon said last, which the reader finds
            return

    async def _cancel(self, id_: int) -> None:
        if not self._writer.is_closing():
            with suppress(OSError):
                self._writer.write(framing.pack({"id": id_, "cancel": True}))

    async def _next(self, id_: int) -> framing.Frame:
        box = self._boxes[id_]
        while not box:
            if self._reading:
                await self._news.wait()
                continue
            self._reading = True
            try:
                await self._read_one()
            finally:
                self._reading = False
                self._news.set()  # whoever waits looks into its box, and one of them reads on
                self._news = asyncio.Event()
        frame = box.popleft()
        if (error := frame.get("error")) is not None:
            raise _error_of(error)
        return frame

    async def _read_one(self) -> None:
        if self._ended is not None:
            raise self._ended
        try:
            frame = await self._frames.next()
        except MessageInvalid as error:
            self._ended = _gone(self._path, error.reason)
            raise self._ended from error
        if frame is None or frame["id"] == 0:
            self._ended = _error_of(frame.get("error")) if frame else _gone(self._path, "it ended the connection")
            raise self._ended
        if (box := self._boxes.get(frame["id"])) is not None:
            box.append(frame)


@asynccontextmanager
async def connect(path: Path, *, todo: str = _START) -> AsyncIterator[ControlClient]:
    """A client of the daemon that listens at `path`; `todo` is the advice where none does.

    Raises:
        UsageError: code "daemon.unreachable", when none does or it may not be reached.
    """
    try:
        reader, writer = await asyncio.open_unix_connection(str(path), limit=1 << 20)
    except OSError as error:
        raise _unreachable(path, error, todo) from error
    try:
        yield ControlClient(path, reader, writer)
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


def _unreachable(path: Path, error: OSError, todo: str) -> UsageError:
    if isinstance(error, PermissionError):
        what, todo = (
            "This user may not talk to the daemon",
            'Run as its user or root, or join the group "tiercast" and log in again.',
        )
    else:
        what = f"No daemon listens at {path}"
    return UsageError(code="daemon.unreachable", what=what, where=str(path) if str(path) not in what else "", todo=todo)


def _gone(path: Path, reason: str) -> UsageError:
    return UsageError(
        code="daemon.unreachable",
        what=f"The daemon is gone: {reason}",
        where=str(path),
        todo="Look into its log; what it had accepted goes on when it is started again.",
    )


def _error_of(fields: Any) -> UsageError:
    told = fields if isinstance(fields, dict) else {}
    return UsageError(
        code=str(told.get("code", "daemon.failed")),
        what=str(told.get("what", "The daemon gave no reason.")),
        where=str(told.get("where", "")),
        todo=str(told.get("todo", "")),
    )
