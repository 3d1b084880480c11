"""What status and `why` are shown of the lanes (docs/protocol-transfer.md, section 6.8).

Rules
- A snapshot: nobody keeps it, nothing hangs on it.
- Every job that does not send on a lane has one reason: the one that would hold longest.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from tiercast_protocol.transfer import lanestates
from tiercast_protocol.transfer.cutting import frame_size
from tiercast_protocol.transfer.events import Child, Job
from tiercast_protocol.transfer.gates import NEVER, why
from tiercast_protocol.transfer.policy import Pace
from tiercast_protocol.transfer.queues import JobBytes, Queue

if TYPE_CHECKING:
    from tiercast_protocol.transfer.lanes import Lane
    from tiercast_protocol.transfer.links import Link

FROM_ABOVE = "waits for the chunk from above"
CREDIT = "waits for credit"
PRIORITY = "priority"
SUSPENDED = "suspended"
METERED = "metered"
PARKED = "no progress"
_FREE = Pace()


@dataclass(slots=True)
class LaneBytes:
    """Payload bytes charged to one child, by reason, in all and by job: what the ledger stands on."""

    first: int = 0
    lost: int = 0
    repair: int = 0
    failed: int = 0
    frames: int = 0
    group_frames: int = 0
    marks: int = 0
    jobs: dict[Job, JobBytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class JobView:
    """One job on one lane.

    Attributes:
        queued: chunks wanted and not sent.
        sent: bytes charged, by reason.
        state: "sending", "waiting", or "done" when nothing is wanted.
        reason: why it waits: one of the reasons of `views` and `gates`; "" when it does not.
        until: when that ends by itself, on the machine's clock; None when it does not.
        segment: bytes of a segment, where it goes in some: the job's own, else the link's; 0 where it does not.
    """

    job: Job
    priority: int
    queued: int
    sent: JobBytes
    state: str
    reason: str
    until: float | None
    segment: int = 0


@dataclass(frozen=True, slots=True)
class LaneView:
    """A lane as status shows it.

    `rate` is the measured bytes per second, `cap` the configured one; `pace` is what holds of the parent's terms and of
    the child's `wish` together; `slowed` is the rate that it yields to, `queueing` the seconds that it saw for that.
    """

    child: Child
    state: str
    suspended: bool
    in_flight: int
    wanted: int
    charged: int
    received: int
    window: int
    rate: float | None
    cap: float | None
    rtt: float | None
    group: int | None
    sent: LaneBytes
    jobs: tuple[JobView, ...] = ()
    pace: Pace = _FREE
    wish: Pace = _FREE
    slowed: float | None = None
    queueing: float | None = None


def lane_view(lane: Lane, output: Link, now: float) -> LaneView:
    """The lane as it stands."""
    flow, link = lane.flow, lane.link
    jobs = tuple(_job_view(lane, queue, output, now) for queue in lane.queues.values())
    total = JobBytes()
    total.add(lane.past)
    for queue in lane.queues.values():
        total.add(queue.bytes)
    return LaneView(
        child=lane.child,
        state=lane.state,
        suspended=link.suspended,
        in_flight=flow.in_flight,
        wanted=len(lane.wanted),
        charged=flow.charged,
        received=flow.received,
        window=flow.window,
        rate=flow.rate,
        cap=link.rate,
        rtt=flow.rtt,
        group=lane.group.number if lane.group is not None else None,
        sent=LaneBytes(
            first=total.first,
            lost=total.lost,
            repair=total.repair,
            failed=total.failed,
            frames=total.frames,
            group_frames=lane.group_frames,
            marks=lane.marks,
            jobs={view.job: view.sent for view in jobs},
        ),
        jobs=jobs,
        pace=link.gates.pace,
        wish=link.wish,
        slowed=link.adaptive.rate if link.adaptive is not None else None,
        queueing=link.adaptive.queueing if link.adaptive is not None else None,
    )


def _job_view(lane: Lane, queue: Queue, output: Link, now: float) -> JobView:
    reason, until = _why(lane, queue, output, now) if queue.wanted else ("", now)
    gates = queue.gates
    sent = replace(queue.bytes)
    if gates is None or gates.split is None:
        gates = lane.link.gates
    if gates.split is not None:
        sent.segments, sent.segment_bytes = gates.segments, gates.segment_bytes
    return JobView(
        job=queue.job.name,
        priority=queue.job.priority,
        queued=queue.wanted,
        sent=sent,
        state="done" if not queue.wanted else "waiting" if reason else "sending",
        reason=reason,
        until=until if now < until < NEVER else None,
        segment=gates.split.segment if gates.split is not None else 0,
    )


def _why(lane: Lane, queue: Queue, output: Link, now: float) -> tuple[str, float]:
    """Why nothing of the job goes to the child now, and until when; ("", now) when it does."""
    if queue.closed:
        return queue.closed, NEVER
    if lane.state == lanestates.PARKED:
        return PARKED, NEVER
    reason, until = why((*output.chain, *lane.link.chain, *queue.chain), now)
    if reason:
        return reason, until
    shared = lane.group is not None and queue.job.name in lane.group.jobs
    if not (queue.head() or shared):
        reason = FROM_ABOVE
    elif not lane.flow.room(frame_size(lane.link.cap, lane.flow.rate)):
        reason = CREDIT
    elif any(_before(other, queue, now) for other in lane.queues.values()):
        reason = PRIORITY
    return reason, NEVER if reason else now


def _before(other: Queue, queue: Queue, now: float) -> bool:
    """Whether the other goes first, and may."""
    first = other.job.priority > queue.job.priority and other.head() and not other.closed
    return bool(first) and not why(other.chain, now)[0]
