"""Groups: children that want the same chunks get one publish per frame (docs/protocol.md, section 6).

Rules
- Nothing is shared while an invitation is open: whoever was asked may be subscribed before we know it.
- A chunk is shared when it is at hand and every member wants all of it; so no child is sent what it did not
  ask for.  Everything else a member wants goes on its own lane, once nothing is shared or when it is a repair.
- The group waits for credit of all its members, but for one that lags behind the others only `LAG_PATIENCE`
  seconds: then that one leaves (its lane is demoted), and the others go on.
- Few groups, each for children of like speed; numbers are never used twice.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field

from tiercast_protocol.transfer.events import Child, Digest
from tiercast_protocol.transfer.lanes import Lane
from tiercast_protocol.transfer.ranges import Span
from tiercast_protocol.transfer.supply import Supply

#: Most groups at one time.
MOST_GROUPS = 8
#: Fewest members that share.
PAIR = 2
#: Bytes that must be wanted alike before a group is worth its topic.
WORTH = 1 << 20
#: At most so many chunks are compared to find out; one that is not at hand yet counts as `_GUESS` bytes.
_COMPARED = 256
_GUESS = 32 * 1024
#: Share of those that must be wanted by both: where they are in it may differ by some frames.
_ALIKE = 0.5
#: Like speed: configured rates within this factor, and measured ones within its square.
_LIKE_RATE = 2.0
#: Seconds a member may lack credit while others have it.
LAG_PATIENCE = 0.25
#: Seconds an invited child may take to join, and how long it is not invited again if it did not.
JOIN_PATIENCE = 5.0
NOT_AGAIN = 30.0
#: Seconds without anything shared after which members that want nothing leave, and after which a group ends.
IDLE = 3.0
IDLE_END = 60.0


@dataclass(slots=True, eq=False)
class Group:
    """One group's members and what they share."""

    number: int
    members: dict[Child, Lane] = field(default_factory=dict)
    invited: dict[Child, float] = field(default_factory=dict)
    #: Chunks every member wants, with what is left to send of each (None is all of it).
    shared: OrderedDict[Digest, list[Span] | None] = field(default_factory=OrderedDict)
    #: Since when a member has lacked credit that others have.
    lagging: dict[Child, float] = field(default_factory=dict)
    used_at: float = 0.0
    ready: bool = False
    due: float = float("inf")
    alive: bool = True

    def share(self, digest: Digest, supply: Supply) -> bool:
        """Share the chunk if it is at hand and every member wants all of it; whether it is shared now."""
        if digest in self.shared:
            return True
        chunk = supply.get(digest)
        members = self.members
        if self.invited or len(members) < PAIR:
            return False
        if chunk is None or chunk.size is None or len(chunk.wanters) < len(members):
            return False
        if not all(_untouched(lane, digest) for lane in members.values()):
            return False
        for lane in members.values():
            lane.dequeue(digest)
        self.shared[digest] = None
        return True

    def unshare(self, digest: Digest) -> None:
        """Give the chunk back to the members' own lanes."""
        if digest not in self.shared:
            return
        spans = self.shared.pop(digest)
        for lane in self.members.values():
            want = lane.wanted.get(digest)
            if want is not None:
                want.spans = list(spans) if spans is not None else None
                lane.enqueue(digest)
                if spans is not None:
                    # Begun chunks hold memory at the child: they are finished first.
                    lane.sendable.move_to_end(digest, last=False)

    def add(self, lane: Lane, supply: Supply) -> None:
        """The child is subscribed: it takes part from here on, and gets what it missed on its own lane."""
        self.invited.pop(lane.child, 0)
        for digest in [d for d, spans in self.shared.items() if spans is not None or not _untouched(lane, d)]:
            self.unshare(digest)
        self.members[lane.child] = lane
        lane.group = self
        for digest in list(self.shared):
            lane.dequeue(digest)
        for digest in list(lane.sendable):
            self.share(digest, supply)

    def open(self, supply: Supply) -> None:
        """Share what all members want, now that nobody is invited any more."""
        if not self.invited and len(self.members) >= PAIR:
            for digest in list(next(iter(self.members.values())).sendable):
                self.share(digest, supply)

    def remove(self, lane: Lane, supply: Supply) -> None:
        """The child takes part no more."""
        self.invited.pop(lane.child, 0)
        self.lagging.pop(lane.child, 0)
        if lane.child not in self.members:
            return
        shared = [(d, list(spans) if spans is not None else None) for d, spans in self.shared.items()]
        if len(self.members) <= PAIR:
            for digest, _ in shared:
                self.unshare(digest)
            shared = []
        del self.members[lane.child]
        lane.group = None
        for digest, spans in shared:
            want = lane.wanted.get(digest)
            if want is not None:
                want.spans = spans
                lane.enqueue(digest)
        self.open(supply)


def _untouched(lane: Lane, digest: Digest) -> bool:
    """Whether the lane wants the chunk whole, for the first time, and nothing of it was sent."""
    want = lane.wanted.get(digest)
    return want is not None and want.spans is None and want.reason == "first"


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


def alike(first: Lane, other: Lane) -> bool:
    """Whether the two lanes are of like speed."""
    a, b = first.bucket.rate, other.bucket.rate
    if (a is None) != (b is None):
        return False
    if a is not None and b is not None and max(a, b) > _LIKE_RATE * min(a, b):
        return False
    c, d = first.flow.rate, other.flow.rate
    return not c or not d or max(c, d) <= _LIKE_RATE**2 * min(c, d)


def wants_alike(lane: Lane, digests: list[Digest]) -> bool:
    """Whether the lane wants most of these."""
    wanted = lane.wanted
    return sum(digest in wanted for digest in digests) >= _ALIKE * len(digests)
