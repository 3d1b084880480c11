"""Reading verbs asked over the tree: a question goes down to one node, its answer comes up.

Rules
- A question is a control message like any other: it waits in outboxes while somebody is cut off, and expires.
- A node answers only what stands in its table; what is not there is an error with a reason, not silence.
- Answers are bounded (the codec's limit); the caller has a deadline of its own.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import structlog

from tiercast_protocol.errors import MessageInvalid, UsageError
from tiercast_protocol.wire.envelope import Envelope
from tiercast_protocol.wire.messages import Answer, Message, Query, body_of

log = structlog.get_logger(__name__)

Reader = Callable[[dict[str, Any]], Awaitable[object]]
#: Tells `message` to `node` below, reliably; gives the envelope's id.
Tell = Callable[[str, Message, int], Awaitable[bytes]]
DEADLINE = 10.0


class Queries:
    """Both sides: asking nodes below, and answering for this node."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._readers: dict[str, Reader] = {}
        self._asked: dict[bytes, asyncio.Future[Answer]] = {}
        self._early: dict[bytes, Answer] = {}

    def add(self, verb: str, reader: Reader) -> None:
        """Answer `verb` by `reader(args)`; it may raise `UsageError`."""
        self._readers[verb] = reader

    async def ask(self, node: str, verb: str, args: dict[str, Any], deadline: float = DEADLINE) -> Any:
        """What `verb` gives at `node`.

        Raises:
            UsageError: as the node said, or "node.silent" when it does not answer within `deadline` seconds.
        """
        if not self._asked:
            self._early.clear()
        expires = time.time_ns() // 1_000_000 + int(deadline * 1000)
        query = await self._tell(node, Query(verb=verb, args=args), expires)
        future = self._asked[query] = asyncio.get_running_loop().create_future()
        if (early := self._early.pop(query, None)) is not None:
            future.set_result(early)
        try:
            async with asyncio.timeout(deadline):
                answer = await future
        except TimeoutError:
            raise UsageError(
                code="node.silent",
                what=f"{node} did not answer within {deadline:.0f} s",
                todo="See whether it is online: tiercast node list",
            ) from None
        finally:
            del self._asked[query]
        if answer.error:
            error = answer.error
            raise UsageError(
                code=error.get("code", "failed"),
                what=error.get("what", "failed"),
                where=error.get("where", "") or node,
                todo=error.get("todo", ""),
            )
        return answer.result

    def answered(self, envelope: Envelope) -> None:
        """An `Answer` to this node arrived."""
        answer = body_of(envelope, Answer)
        future = self._asked.get(answer.query)
        if future is None:
            if len(self._early) < 64:  # noqa: PLR2004 - answers that outran the end of `_tell`
                self._early[answer.query] = answer
        elif not future.done():
            future.set_result(answer)

    async def answer(self, envelope: Envelope) -> Answer:
        """The answer to the question in `envelope`."""
        query = body_of(envelope, Query)
        reader = self._readers.get(query.verb)
        if reader is None:
            return self._failed(envelope.id, "verb.unknown", f"{query.verb[:80]} can't be asked over the tree")
        try:
            return Answer(query=envelope.id, result=await reader(dict(query.args)))
        except UsageError as error:
            return Answer(
                query=envelope.id,
                error={"code": error.code, "what": error.what, "where": error.where, "todo": error.todo},
            )
        except (MessageInvalid, KeyError, TypeError, ValueError) as error:
            return self._failed(envelope.id, "argument.invalid", str(error))

    def _failed(self, query: bytes, code: str, what: str) -> Answer:
        return Answer(query=query, error={"code": code, "what": what})
