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
from tiercast_protocol.wire import codec
from tiercast_protocol.wire.envelope import Envelope
from tiercast_protocol.wire.messages import Answer, Message, Query, body_of

log = structlog.get_logger(__name__)

Reader = Callable[[dict[str, Any]], Awaitable[object]]
#: Tells `message` to `node` below, reliably; gives the envelope's id.
Tell = Callable[[str, Message, int], Awaitable[bytes]]
DEADLINE = 10.0
#: Most bytes of answers that outran the end of `_tell`.
EARLY_BYTES = 2 << 20


class Queries:
    """Both sides: asking nodes below, and answering for this node."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._readers: dict[str, Reader] = {}
        self._asked: dict[bytes, asyncio.Future[Answer]] = {}
        #: Bodies, not what they decode to: a peer's bytes may become a hundred times as large.
        self._early: dict[bytes, bytes] = {}
        self._telling = 0

    @property
    def early_bytes(self) -> int:
        """Bytes of answers kept for questions that are just being told."""
        return sum(map(len, self._early.values()))

    def add(self, verb: str, reader: Reader) -> None:
        """Answer `verb` by `reader(args)`; it may raise `UsageError`."""
        self._readers[verb] = reader

    async def ask(self, node: str, verb: str, args: dict[str, Any], deadline: float = DEADLINE) -> Any:
        """What `verb` gives at `node`.

        Raises:
            UsageError: as the node said, or "node.silent" when it does not answer within `deadline` seconds.
        """
        expires = time.time_ns() // 1_000_000 + int(deadline * 1000)
        self._telling += 1
        early: bytes | None = None
        try:
            query = await self._tell(node, Query(verb=verb, args=args), expires)
            early = self._early.pop(query, None)
        finally:
            self._telling -= 1
            if not self._telling:
                self._early.clear()
        future = self._asked[query] = asyncio.get_running_loop().create_future()
        try:
            if early is not None:
                future.set_result(codec.decode(early, Answer))
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
            if self._telling and self.early_bytes + len(envelope.body) <= EARLY_BYTES:
                self._early[answer.query] = envelope.body
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
