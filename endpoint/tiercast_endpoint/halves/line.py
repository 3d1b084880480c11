"""The line between an agent's two halves: both ask, both answer (docs/agent.md, "Two halves").

Frames are those of the control socket (framing.py), with an `id` that the asking side chooses:
- asked:    {id, verb, args}             and {id, cancel: true} for what is no longer wanted
- answered: {id, result} | {id, error: [code, detail]}

Rules
- Nothing is believed for having come over this line: frames have limits, and what can't be read, or is asked for beyond
  `MOST` at a time, ends it.
- Who stops waiting for an answer says so, and waits until the other side has let go (`LET_GO_S` at most).
- Every answer is made in a task of its own; the line's end cancels them all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import structlog

from tiercast_protocol.errors import MessageInvalid
from tiercast_protocol.node.control import framing

log = structlog.get_logger(__name__)

#: Questions of one side that are open at a time.
MOST = 64
#: Seconds that a cancelled question waits for the other side to stop.
LET_GO_S = 20.0
#: Bytes that may wait for a side that reads slowly.
_HIGH_WATER = 4 << 20

Answer = Callable[[str, dict[str, Any]], Awaitable[Any]]


class Refusal(Exception):
    """The other side does not do it: a stable code and a sentence."""

    def __init__(self, code: str, detail: str) -> None:
        self.code, self.detail = code, detail
        super().__init__(f"{code}: {detail}")


class Line:
    """One connection, from `run` to its end.

    Args:
        reader, writer: of the connection.
        answer: answers the other side; `Refusal` is an answer too.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: Answer) -> None:
        self._frames = framing.FrameReader(reader)
        self._writer = writer
        self._answer = answer
        self._asked: dict[int, asyncio.Future[Any]] = {}
        self._answering: dict[int, asyncio.Task[None]] = {}
        #: Questions of this side so far.
        self.count = 0
        self._turn = asyncio.Lock()
        self.ended = False
        writer.transport.set_write_buffer_limits(high=_HIGH_WATER)

    @property
    def busy(self) -> bool:
        """Whether a question of either side is open."""
        return bool(self._asked or self._answering)

    async def run(self) -> None:
        """Answer until the other side ends.

        Raises:
            MessageInvalid: it sent what can't be read.
        """
        invalid: MessageInvalid | None = None
        async with asyncio.TaskGroup() as tasks:
            try:
                while (frame := await self._frames.next()) is not None:
                    self._take(frame, tasks)
            except MessageInvalid as error:
                invalid = error
            finally:
                self.close()
                for task in self._answering.values():
                    task.cancel()
        if invalid is not None:
            raise invalid

    def close(self) -> None:
        """End it; whoever waits for an answer gets a ConnectionError."""
        self.ended = True
        for future in self._asked.values():
            if not future.done():
                future.set_exception(ConnectionResetError("the other half is gone"))
        self._writer.close()

    async def ask(self, verb: str, **args: Any) -> Any:
        """What the other side answers.

        Raises:
            Refusal: it won't.
            ConnectionError: it is gone.
        """
        if self.ended:
            raise ConnectionResetError("the other half is gone")
        self.count += 1
        number = self.count
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._asked[number] = future
        try:
            await self._send({"id": number, "verb": verb, "args": args})
            await asyncio.wait([future])
            return future.result()
        except asyncio.CancelledError:
            with suppress(ConnectionError):
                await self._send({"id": number, "cancel": True})
                await asyncio.wait([future], timeout=LET_GO_S)
            raise
        finally:
            self._asked.pop(number, None)
            if future.done() and not future.cancelled():
                future.exception()  # looked at, whoever left before

    def say(self, verb: str, **args: Any) -> None:
        """Say something that needs no answer, and may be lost: not when the other side reads slowly, or is gone."""
        if not self.ended and self._writer.transport.get_write_buffer_size() < _HIGH_WATER // 2:
            self._writer.write(framing.pack({"id": 0, "verb": verb, "args": args}))

    # -- what comes ------------------------------------------------------------------------------------

    def _take(self, frame: framing.Frame, tasks: asyncio.TaskGroup) -> None:
        number = frame["id"]
        if "verb" in frame:
            args = frame.get("args")
            if not isinstance(args, dict) or number in self._answering or len(self._answering) >= MOST:
                raise MessageInvalid("an id in use, args that are no map, or too much at a time")
            task = tasks.create_task(self._serve(number, str(frame["verb"])[:80], args))
            # What is told and needs no answer has no number that another could have.
            key = number or -id(task)
            self._answering[key] = task
            task.add_done_callback(lambda _: self._answering.pop(key, None))
        elif frame.get("cancel") is True:
            if (running := self._answering.get(number)) is not None:
                running.cancel()
        elif (future := self._asked.get(number)) is not None and not future.done():
            self._settle(future, frame)

    @staticmethod
    def _settle(future: asyncio.Future[Any], frame: framing.Frame) -> None:
        error = frame.get("error")
        if error is None:
            future.set_result(frame.get("result"))
        elif isinstance(error, list) and len(error) == 2 and all(isinstance(word, str) for word in error):  # noqa: PLR2004 - code, detail
            future.set_exception(Refusal(*error))
        else:
            raise MessageInvalid("an error without code and detail")

    async def _serve(self, number: int, verb: str, args: dict[str, Any]) -> None:
        refused: Refusal | None = None
        result: Any = None
        try:
            result = await self._answer(verb, args)
        except Refusal as error:
            refused = error
        except asyncio.CancelledError:
            if self.ended:
                raise
            refused = Refusal("half.cancelled", "It was stopped.")
        except Exception as error:
            # A bug of ours, on this side: the other one hears that much, and the log the rest.
            log.exception("question failed", verb=verb)
            refused = Refusal("agent.bug", f"The other half failed ({type(error).__name__}).")
        if number:
            said = {"result": result} if refused is None else {"error": [refused.code, refused.detail]}
            with suppress(ConnectionError):
                await self._send({"id": number, **said})

    async def _send(self, frame: framing.Frame) -> None:
        data = framing.pack(frame)
        async with self._turn:
            if self._writer.transport.is_closing():
                raise ConnectionResetError("the other half is gone")
            self._writer.write(data)
            await self._writer.drain()
