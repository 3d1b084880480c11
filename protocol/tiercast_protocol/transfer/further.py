"""Chunks that a child wants for several jobs: which of these they go for (docs/protocol-transfer.md, section 6.7).

Rules
- A job that may go now goes before one that is shut, then the higher priority, then what has no terms of its own.
- The others are remembered with the chunk: it moves when its job is shut, or when a better one opens.
- Said again for a job that it is wanted for already, a chunk stays where it is.
"""

from __future__ import annotations

from collections.abc import Iterable

from tiercast_protocol.transfer.events import Digest
from tiercast_protocol.transfer.lanes import Lane
from tiercast_protocol.transfer.queues import Queue
from tiercast_protocol.transfer.supply import Supply
from tiercast_protocol.transfer.wants import MOST_JOBS


def worth(queue: Queue) -> tuple[bool, int, bool]:
    """What a job's queue goes by."""
    return (not queue.closed, queue.job.priority, not queue.chain)


def best(lane: Lane, digest: Digest, queues: Iterable[Queue]) -> Queue:
    """The best of these and of the one that the chunk goes for; the first of equals."""
    found = list(queues)
    if (want := lane.wanted.get(digest)) is not None:
        found.insert(0, want.queue)
    return max(found, key=worth)


def wanted_for(lane: Lane, digest: Digest, queue: Queue, supply: Supply) -> None:
    """The chunk, which is wanted, is wanted for this job too."""
    want = lane.wanted[digest]
    other = queue.job.name
    if queue is want.queue:
        return
    if worth(queue) > worth(want.queue):
        other = want.queue.job.name
        _move(lane, digest, queue, supply)
    else:
        supply.want(digest, lane.child, queue.job)
    _remember(lane, digest, other)


def rearrange(lane: Lane, supply: Supply) -> None:
    """A job of the lane was shut, or opened: what is wanted for several goes for the best of them."""
    if not lane.several:
        return
    for digest, want in list(lane.wanted.items()):
        others = [lane.queues[name] for name in want.others if name in lane.queues]
        if others and (better := best(lane, digest, others)) is not want.queue:
            before = want.queue.job.name
            _move(lane, digest, better, supply)
            _remember(lane, digest, before)


def take_out(lane: Lane, digest: Digest) -> None:
    """The chunk goes nowhere for now."""
    if lane.group is not None:
        lane.group.unshare(digest)
    lane.dequeue(digest)


def offer(lane: Lane, digest: Digest, queue: Queue, supply: Supply) -> None:
    """The chunk is wanted for this job: it is sent once it is at hand."""
    if supply.want(digest, lane.child, queue.job) is not None:
        lane.enqueue(digest)
        if lane.group is not None:
            lane.group.share(digest, supply)


def _move(lane: Lane, digest: Digest, queue: Queue, supply: Supply) -> None:
    take_out(lane, digest)
    want = lane.wanted[digest]
    lane.put(digest, want.spans, want.reason, queue)
    offer(lane, digest, queue, supply)


def _remember(lane: Lane, digest: Digest, name: str) -> None:
    """Keep the job with the chunk; of too many the newest."""
    want = lane.wanted[digest]
    lane.several = True
    mine = want.queue.job.name
    others = [other for other in want.others if other not in {name, mine}]
    want.others = tuple([*others, name][-(MOST_JOBS - 1) :])
