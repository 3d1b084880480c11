"""The terms of jobs that pass: from their orders, and changed as they run (docs/protocol-steering.md, section 2).

Rules
- A job has terms from its first open order to its last; the newest revision's options count, or what the region
  signed after it.
- A change is the region's word: proved here, kept, and passed on to every child that the job's order went to, now or
  later.
- What can't be read is of a newer region: the job goes on the usual terms.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

import structlog

from tiercast_gateway.orders.orders import needs_content
from tiercast_gateway.steering import said as s
from tiercast_protocol.content.jobs.jobnames import named
from tiercast_protocol.content.jobs.shape import open_shape
from tiercast_protocol.errors import SignatureInvalid, UsageError
from tiercast_protocol.transfer import terms
from tiercast_protocol.transfer.terms import CHANGE, JobWords
from tiercast_protocol.wire.messages import JobShape, Message

if TYPE_CHECKING:
    from tiercast_gateway.steering.said import Said
    from tiercast_gateway.subtree import SubTree
    from tiercast_protocol.content.jobs.order import Order

log = structlog.get_logger(__name__)


class JobBook:
    """Of one sub-tree; `act` is called whenever terms changed."""

    def __init__(self, tree: SubTree, said: Said, region_key: bytes, act: Callable[[], None]) -> None:
        self._tree, self._said, self._region_key, self._act = tree, said, region_key, act
        self._orders: dict[str, dict[int, Order]] = {}
        self._words: dict[str, JobWords] = {}
        #: Jobs that are over, whose rows are not forgotten yet.
        self.over: list[str] = []

    def words(self) -> Mapping[str, JobWords]:
        """What was said of every open job."""
        return self._words

    def open(self, job: str) -> bool:
        """Whether an order of it is open."""
        return job in self._orders

    def named(self, job: str, others: Iterable[str] = ()) -> str:
        """The open job, or the one of `others`, that is called so; its number alone will do; "" for none."""
        return named(job, {*self._orders, *others})

    def changed(self, order: Order, open_: bool) -> None:  # noqa: FBT001 - the callback of `Orders`
        """A job was opened (or its revision is new), or closed."""
        if not needs_content(order):
            return
        revisions = self._orders.setdefault(order.job, {})
        if open_:
            revisions[order.revision] = order
        else:
            revisions.pop(order.revision, None)
        if not revisions:
            del self._orders[order.job]
            self.over.append(order.job)
        self._take_words(order.job)
        self._act()

    async def take(self, message: JobShape) -> None:
        """A job's terms changed; they act, are kept, and go to whoever its order passed.

        Raises:
            SignatureInvalid: the region did not sign them, or it is another region's.
        """
        shape = open_shape(message.shape, message.signature, self._region_key)
        if shape.region != self._tree.region:
            raise SignatureInvalid("shape", f"it is of the region {shape.region}")
        known = self._said.get(s.SHAPE, shape.job)
        if known is None or known["change"] < shape.change:
            body = {
                "change": shape.change,
                "options": shape.options,
                "shape": message.shape.hex(),
                "signature": message.signature.hex(),
            }
            self._said.note(s.SHAPE, {shape.job: body})
            self._take_words(shape.job)
            self._act()
            await self._said.put(s.SHAPE, {shape.job: body})
        for child in await self._tree.orders.passed_to(shape.job):
            await self._tree.post.send(child, message, cause=shape.job)

    def passed_on(self, job: str) -> list[Message]:
        """An order of the job goes down: terms that were said after it follow."""
        body = self._said.get(s.SHAPE, job)
        if body is None:
            return []
        return [JobShape(shape=bytes.fromhex(body["shape"]), signature=bytes.fromhex(body["signature"]))]

    def _take_words(self, job: str) -> None:
        orders = self._orders.get(job)
        if not orders:
            self._words.pop(job, None)
            return
        options = ordered = orders[max(orders)].options
        shape = self._said.get(s.SHAPE, job)
        if shape is not None and shape["change"] > int(options.get(CHANGE, 0)):
            options = shape["options"]
        if terms.BEGINS in ordered:
            options = {**options, terms.BEGINS: ordered[terms.BEGINS]}
        try:
            self._words[job] = terms.job_words(options)
        except UsageError as error:
            log.warning("job.terms", job=job, reason=error.what)
            self._words[job] = terms.job_words({})
