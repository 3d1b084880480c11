"""`why` over the tree, both ways: questions of nodes below about themselves, and this node's to those above.

Rules
- A node below is told of itself and of what is below it, and of nothing else.
- Who answers is set by the tier: a gateway out of what it knows itself, the server out of the region's database.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

from tiercast_protocol.errors import TiercastError, UsageError
from tiercast_protocol.node.whyabove import VERB, WhyAbove, asked
from tiercast_protocol.wire.envelope import Envelope
from tiercast_protocol.wire.messages import Answer, Message, Query, body_of

if TYPE_CHECKING:
    from tiercast_gateway.subtree import SubTree

#: Answers (asker, job, target).
Reader = Callable[[str, str, str], Awaitable[dict[str, Any]]]


class WhyWay:
    """Of one sub-tree."""

    def __init__(self, tree: SubTree) -> None:
        self._tree = tree
        #: Set by the tier.
        self.reader: Reader | None = None
        self.above = WhyAbove(tree.above, self._path, self._send)

    async def answer(self, asker: str, envelope: Envelope) -> Answer:
        """The answer to a question of `asker`, who is below."""
        query = body_of(envelope, Query)
        try:
            if query.verb != VERB or self.reader is None:
                raise UsageError("verb.unknown", f"{query.verb[:80]!r} can't be asked from below.")  # noqa: TRY301
            return Answer(query=envelope.id, result=await self.reader(asker, *asked(query.args)))
        except UsageError as error:
            said = {"code": error.code, "what": error.what, "where": error.where, "todo": error.todo}
            return Answer(query=envelope.id, error=said)
        except TiercastError as error:
            return Answer(query=envelope.id, error={"code": "failed", "what": str(error)})

    def _path(self) -> Sequence[str]:
        return self._tree.above.path

    async def _send(self, to: str, message: Message, expires: int) -> bytes:
        return await self._tree.post.send(self._tree.above.parent, message, to=to, expires=expires)


def not_below(asker: str, target: str) -> UsageError:
    """The answer to who asks about others."""
    return UsageError(code="target.unknown", what=f"{target[:80]!r} is not {asker}, nor below it.")
