"""How the jobs of this agent travel, as far as it changes what is asked for first.

Rules
- The region's word only: terms come with a proved order, or signed after it.
- The parent keeps the terms; here they decide the order of wants alone.  So nothing is kept over a restart, and of
  many jobs only the newest: without terms a job is one of usual priority.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping

from tiercast_protocol.content.jobs import jobtypes
from tiercast_protocol.content.jobs.order import Order
from tiercast_protocol.content.jobs.shape import open_shape
from tiercast_protocol.errors import UsageError
from tiercast_protocol.transfer.policy import JobPolicy
from tiercast_protocol.transfer.terms import CHANGE, job_words
from tiercast_protocol.wire.messages import JobShape

MOST_JOBS = 64


class Terms:
    """Hands each job's policy to `tell(job, policy)`; None forgets it."""

    def __init__(self, region: str, region_key: bytes, tell: Callable[[str, JobPolicy | None], None]) -> None:
        self._region, self._region_key, self._tell = region, region_key, tell
        self._changes: OrderedDict[str, int] = OrderedDict()

    def ordered(self, order: Order) -> None:
        """A proved order came."""
        if order.type in jobtypes.with_content():
            self._take(order.job, int(order.options.get(CHANGE, 0)), order.options)

    def changed(self, message: JobShape) -> None:
        """A job's terms changed.

        Raises:
            SignatureInvalid: the region did not sign them.
            MessageInvalid: they can't be read.
        """
        shape = open_shape(message.shape, message.signature, self._region_key)
        if shape.region == self._region:
            self._take(shape.job, shape.change, shape.options)

    def _take(self, job: str, change: int, options: Mapping[str, object]) -> None:
        if self._changes.get(job, -1) > change:
            return
        try:
            policy = job_words(options).policy
        except UsageError:  # of a newer region: the usual terms
            policy = JobPolicy()
        self._changes[job] = change
        self._changes.move_to_end(job)
        self._tell(job, policy)
        if len(self._changes) > MOST_JOBS:
            self._tell(self._changes.popitem(last=False)[0], None)
