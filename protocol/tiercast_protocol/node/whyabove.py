"""What those above know of why a job waits here: asked when somebody at this node's socket wants to know.

Rules
- The parent and the server are asked side by side, for so long; who is silent, or an older version, is left out
  (docs/jobs.md, "Why").  Cut off, nobody is asked: what this node knows itself is the answer then, at once.
- A node asks about itself or about what is below it, and gets no other answer; the answer goes to the node that it is
  about by the region's own routes, whoever claims to have asked.
- What was told is not believed to be sound: it is read as far as it can be shown.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol

from tiercast_protocol.content.jobs.reason import read, shown
from tiercast_protocol.errors import UsageError
from tiercast_protocol.node.queries import Queries
from tiercast_protocol.wire.envelope import Envelope
from tiercast_protocol.wire.messages import Message

VERB = "why.above"
#: Seconds for an answer: somebody sits at a terminal.
PATIENCE_S = 2.0
_MOST = 32


class Way(Protocol):
    """The way up (`Upstream`, `Above`)."""

    @property
    def parent(self) -> str:
        """The parent's name; "" where there is none."""
        ...

    @property
    def connected(self) -> bool:
        """Whether it is there."""
        ...


#: Sends `message` to the parent, for the node `to` ("" is the parent itself), until `expires`; the envelope's id.
Send = Callable[[str, Message, int], Awaitable[bytes]]


class WhyAbove:
    """Asks those above.

    Args:
        way: the way up.
        path: gives the names from the server down to the parent, as far as they are known.
        send: see `Send`.
    """

    def __init__(self, way: Way, path: Callable[[], Sequence[str]], send: Send) -> None:
        self._way, self._path = way, path
        self._queries = Queries(
            lambda node, message, expires: send("" if node == way.parent else node, message, expires)
        )

    def answered(self, envelope: Envelope) -> None:
        """An answer came from above."""
        self._queries.answered(envelope)

    async def ask(self, job: str, target: str) -> list[dict[str, Any]]:
        """What each of those above says of `target`, the nearest first: {node, chain, result}."""
        if not self._way.connected or not self._way.parent:
            return []
        whom = list(dict.fromkeys((self._way.parent, *self._path()[:1])))
        async with asyncio.TaskGroup() as tasks:
            asked = [tasks.create_task(self._ask(node, job, target)) for node in whom]
        return [told for one in asked if (told := one.result()) is not None]

    async def _ask(self, node: str, job: str, target: str) -> dict[str, Any] | None:
        try:
            found = await self._queries.ask(node, VERB, {"job": job, "target": target}, PATIENCE_S)
        except UsageError:
            return None
        return _readable(node, found)


def asked(args: Mapping[str, Any]) -> tuple[str, str]:
    """Job and target of a question from below.

    Raises:
        UsageError: argument.invalid.
    """
    job, target = args.get("job"), args.get("target")
    if not isinstance(job, str) or not isinstance(target, str) or not job or not target:
        raise UsageError("argument.invalid", "job and target must be texts.", VERB)
    return job, target


def told(found: Mapping[str, Any]) -> dict[str, Any]:
    """Of an answer of `job.why` for one target what goes down."""
    result = found.get("result") or {}
    return {"job": found.get("job", ""), "chain": found.get("chain") or [], "result": result}


def more(own: Sequence[Mapping[str, Any]], above: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What those above say beyond `own`, the chain of this node: {node, chain, result}; each reason once."""
    seen = {(reason["code"], reason["node"]) for reason in own}
    rows: list[dict[str, Any]] = []
    for one in above:
        fresh = [reason for reason in one["chain"] if (reason["code"], reason["node"]) not in seen]
        seen |= {(reason["code"], reason["node"]) for reason in fresh}
        if fresh or (one["result"] and not own):
            rows.append({**one, "chain": fresh})
    return rows


def _readable(node: str, found: object) -> dict[str, Any] | None:
    if not isinstance(found, dict) or not isinstance(found.get("chain"), list):
        return None
    chain: list[dict[str, Any]] = []
    for one in found["chain"][:_MOST]:
        if isinstance(one, dict) and isinstance(one.get("code"), str):
            facts = one["facts"] if isinstance(one.get("facts"), dict) else {}
            where, peer = (value if isinstance(value := one.get(key), str) else "" for key in ("node", "peer"))
            since, until = one.get("since"), one.get("until")
            chain.append(shown(read(one["code"], {**facts, "since": since, "until": until}, node=where, peer=peer)))
    result = found.get("result")
    keys = ("state", "code", "detail", "means", "todo")
    safe = {key: str(result.get(key, "")) for key in keys} if isinstance(result, dict) and result else {}
    return {"node": node, "chain": chain, "result": safe}
