"""Groups: children that want the same chunks get one publish per frame (docs/protocol.md, section 6).

Rules
- Nothing is shared while an invitation is open: whoever was asked may be subscribed before we know it.  What is
  shared already waits so long, so that nobody who is near runs ahead of the others.
- A chunk is shared when it is at hand and every member wants the same of it, for the same job; so no child is sent
  what it did not ask for.  What all of them lost is shared again.  Everything else goes on the members' own lanes.
- The group waits for credit of all its members, but for one that holds the others back only `LAG_PATIENCE`
  seconds: then that one leaves (its lane is demoted), and the others go on.  Nobody is held back who has enough under
  way; so where a machine is busy and all are late in turn, nobody lags.
- Few groups, each for children of like speed; numbers are never used twice.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from tiercast_protocol.transfer.events import Child, Digest, Job
from tiercast_protocol.transfer.lanes import Lane
from tiercast_protocol.transfer.queues import Want
from tiercast_protocol.transfer.ranges import Span
from tiercast_protocol.transfer.supply import Supply

#: Most groups at one time.
MOST_GROUPS = 8
#: Fewest members that share.
PAIR = 2
#: Bytes that must be wanted alike before a group is worth its topic.
WORTH = 1 << 20
#: At most so many chunks are looked at to find out; one that is not at hand yet counts as `_GUESS` bytes.
_COMPARED = 256
_GUESS = 32 * 1024
#: Share of what one wants that the other must want too: where they are in it may differ by some frames.
_ALIKE = 0.75
#: Like speed: configured rates within this factor, and measured ones within its square.
_LIKE_RATE = 2.0
#: Seconds a member may lack credit while others have it, and what a silent one may take to report beside.
LAG_PATIENCE = 0.15
LAG_REPORT = 0.05
#: Seconds an invited child may take to join (nothing is shared for so long), and how long it is not invited again if
#: it says nothing at all; whoever answers late may come at once.
JOIN_PATIENCE = 2.0
NOT_AGAIN = 30.0
#: Seconds without anything shared after which members that want nothing leave, and after which a group ends.
IDLE = 3.0
IDLE_END = 60.0


#: Much unlike, for those that share whatever their speed.
_FAR_SLOWER = 16.0

Shared = OrderedDict[Digest, list[Span] | None]


@dataclass(slots=True)
class Lag:
    """How long a member has held the others back: it grows while it does and shrinks while it does not."""

    level: float
    at: float
    lacking: bool

    def at_time(self, now: float) -> float:
        """The seconds it counts for at `now`."""
        passed = now - self.at
        return self.level + passed if self.lacking else max(0.0, self.level - passed)

    def move(self, now: float, *, lacking: bool) -> None:
        """From `now` on it lacks credit that others have, or does not."""
        self.level = self.at_time(now)
        self.at = now
        self.lacking = lacking


@dataclass(slots=True, eq=False)
class Group:
    """One group's members and what they share."""

    number: int
    #: Whether the members are of like speed: only then jobs share that ask for that.
    even: bool = True
    members: dict[Child, Lane] = field(default_factory=dict)
    invited: dict[Child, float] = field(default_factory=dict)
    #: Subscribed, and members as soon as nobody is invited any more.
    arrived: dict[Child, Lane] = field(default_factory=dict)
    #: What is shared waits so long for those who are invited.
    hold_until: float = 0.0
    #: By job, in the order of their turns: chunks that every member wants alike, with what is left to send of each
    #: (None is all of it).
    jobs: OrderedDict[Job, Shared] = field(default_factory=OrderedDict)
    #: Members that hold the others back, or did lately.
    lagging: dict[Child, Lag] = field(default_factory=dict)
    #: Priority of what goes next; 0 while nothing may.
    leading: int = 0
    spare: float = 0.0
    used_at: float = 0.0
    ready: bool = False
    due: float = float("inf")
    alive: bool = True

    def share(self, digest: Digest, supply: Supply) -> bool:
        """Share the chunk if it is at hand and every member wants the same of it; whether it is shared now."""
        members = self.members
        chunk = supply.get(digest)
        if chunk is None or chunk.size is None or len(chunk.wanters) < len(members):
            return False
        want = self._common(digest)
        if want is None:
            return False
        job = want.queue.job
        shared = self.jobs.get(job.name)
        if shared is None:
            shared = self.jobs[job.name] = OrderedDict()
        elif digest in shared:
            return True
        for lane in members.values():
            lane.dequeue(digest)
        shared[digest] = want.spans
        if want.reason != "first":
            # Begun chunks hold memory at the child, and who waits for one waits for all: they are finished first.
            shared.move_to_end(digest, last=False)
        self.leading = max(self.leading, job.priority)
        return True

    def _common(self, digest: Digest) -> Want | None:
        """What every member wants of the chunk, if it is the same, and may be shared."""
        if self.invited or len(self.members) < PAIR:
            return None
        first: Want | None = None
        for lane in self.members.values():
            want = lane.wanted.get(digest)
            if want is None or want.queue.closed:
                return None
            if first is None:
                first = want
            elif want.queue.job is not first.queue.job or want.spans != first.spans:
                return None
        fanout = first.queue.job.policy.fanout if first is not None else "unicast"
        return first if fanout == "multicast" or (fanout == "auto" and self.even) else None

    def _of(self, digest: Digest) -> Job | None:
        """For which job the chunk is shared; None when it is not."""
        return next((name for name, shared in self.jobs.items() if digest in shared), None)

    def unshare(self, digest: Digest) -> None:
        """Give the chunk back to the members' own lanes."""
        job = self._of(digest)
        if job is None:
            return
        spans = self.take(digest, job)
        for lane in self.members.values():
            _give(lane, digest, spans)

    def take(self, digest: Digest, job: Job) -> list[Span] | None:
        """Share the chunk no more; what was left to send of it."""
        shared = self.jobs[job]
        spans = shared.pop(digest)
        if not shared:
            del self.jobs[job]
        return spans

    def close(self, job: Job) -> None:
        """Share nothing of the job any more."""
        for digest in list(self.jobs.get(job, ())):
            self.unshare(digest)
        for lane in self.members.values():
            lane.in_order()

    def add(self, lane: Lane) -> None:
        """The child is subscribed: it takes part from the next `open` on."""
        self.invited.pop(lane.child, 0)
        self.arrived[lane.child] = lane

    def pause(self) -> None:
        """Share nothing for now: all that is left to send goes on the members' own lanes."""
        for name in list(self.jobs):
            self.close(name)

    def open(self, supply: Supply) -> None:
        """Share what all members want, now that nobody is invited any more."""
        if self.invited:
            return
        if self.arrived:
            self._let_in()
        if len(self.members) >= PAIR:
            for queue in list(next(iter(self.members.values())).queues.values()):
                for digest in [*queue.urgent, *queue.sendable]:
                    self.share(digest, supply)

    def _let_in(self) -> None:
        """Make members of those who arrived; what one of them wants otherwise than the others is shared no more."""
        arrived = self.arrived.values()
        for name in list(self.jobs):
            for digest, spans in list(self.jobs[name].items()):
                if all(_wants(lane, digest, name, spans) for lane in arrived):
                    for lane in arrived:
                        lane.dequeue(digest)
                else:
                    self.unshare(digest)
        for lane in self.members.values():
            lane.in_order()
        for lane in arrived:
            self.members[lane.child] = lane
            lane.group = self
        self.arrived.clear()

    def remove(self, lane: Lane, supply: Supply) -> None:
        """The child takes part no more."""
        self.invited.pop(lane.child, 0)
        self.arrived.pop(lane.child, 0)
        self.lagging.pop(lane.child, 0)
        if lane.child not in self.members:
            return
        if len(self.members) <= PAIR:
            for name in list(self.jobs):
                self.close(name)
        del self.members[lane.child]
        lane.group = None
        for shared in self.jobs.values():
            for digest, spans in shared.items():
                _give(lane, digest, spans)
        lane.in_order()
        self.open(supply)


def _wants(lane: Lane, digest: Digest, job: Job, spans: list[Span] | None) -> bool:
    """Whether the lane wants this of the chunk, for this job, and may get it."""
    want = lane.wanted.get(digest)
    return want is not None and want.queue.job.name == job and want.spans == spans and not want.queue.closed


def _give(lane: Lane, digest: Digest, spans: list[Span] | None) -> None:
    """The chunk goes on the lane's own queue, as far as it was sent."""
    want = lane.wanted.get(digest)
    if want is None:
        return
    want.spans = list(spans) if spans is not None else None
    lane.enqueue(digest)


def head(digests: Iterable[Digest], supply: Supply) -> list[Digest]:
    """The first chunks, if there are enough of them to be worth a group; else an empty list."""
    found: list[Digest] = []
    size = 0
    for digest in digests:
        chunk = supply.get(digest)
        if chunk is None:
            continue
        found.append(digest)
        size += chunk.size if chunk.size is not None else _GUESS
        if len(found) >= _COMPARED:
            break
    return found if size >= WORTH else []


def sharable(lane: Lane, fanout: str) -> Iterator[Digest]:
    """What the lane wants for jobs of this fan-out that may go, in order."""
    for digest, want in lane.wanted.items():
        if want.queue.job.policy.fanout == fanout and not want.queue.closed:
            yield digest


def alike(first: Lane, other: Lane) -> bool:
    """Whether the two lanes are of like speed."""
    a, b = first.link.rate, other.link.rate
    if (a is None) != (b is None):
        return False
    if a is not None and b is not None and max(a, b) > _LIKE_RATE * min(a, b):
        return False
    c, d = first.flow.rate, other.flow.rate
    return not c or not d or max(c, d) <= _LIKE_RATE**2 * min(c, d)


def far_slower(lane: Lane, others: Iterable[Lane]) -> bool:
    """Whether the lane is too slow even for those that share whatever their speed."""
    best = max((other.flow.rate or 0.0 for other in others), default=0.0)
    return (lane.flow.rate or 0.0) * _FAR_SLOWER < best


def share_most(first: Lane, other: Lane, job: Job) -> bool:
    """Whether one of the two wants most of what the other wants for the job: a group shares what all members want."""
    theirs = {digest for digest, want in other.wanted.items() if want.queue.job.name == job}
    ours = [digest for digest, want in first.wanted.items() if want.queue.job.name == job]
    fewer = min(len(ours), len(theirs))
    return fewer > 0 and sum(digest in theirs for digest in ours) >= _ALIKE * fewer
