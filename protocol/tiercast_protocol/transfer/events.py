"""What the two machines of a hop are told and what they ask for (docs/protocol.md, section 6).

Rules
- Events are past tense, commands imperative; both are frozen and slotted.
- Digests and sizes pass through, payload bytes do not.
- `size` of a chunk is always that of its stored (compressed) form: that is what travels.
"""

from __future__ import annotations

from dataclasses import dataclass

from tiercast_protocol.transfer.policy import JobPolicy, LinkPolicy
from tiercast_protocol.wire.messages import Piece, Report

Digest = bytes
Child = str
#: A job by its name; "" is what belongs to none.
Job = str


# == the parent's side: Sender =========================================================================


@dataclass(frozen=True, slots=True)
class ReportReceived:
    """A child reported.  An unknown session starts its lane anew."""

    child: Child
    report: Report


@dataclass(frozen=True, slots=True)
class ChunkAvailable:
    """The depot holds the chunk (found at once, or arrived from above and verified)."""

    digest: Digest
    size: int


@dataclass(frozen=True, slots=True)
class ChunkUnavailable:
    """Nobody above holds the chunk."""

    digest: Digest
    reason: str


@dataclass(frozen=True, slots=True)
class FramePublished:
    """The adapter handed frame `frame` to the broker connection; room for another."""

    frame: int


@dataclass(frozen=True, slots=True)
class FrameFailed:
    """Frame `frame` could not be published (chunk evicted or damaged, broker connection lost)."""

    frame: int


@dataclass(frozen=True, slots=True)
class ChildLost:
    """The child's connection is gone (its will, or the broker said so).  Its lane keeps nothing."""

    child: Child


@dataclass(frozen=True, slots=True)
class ChildJoinedGroup:
    """The child is subscribed to the group's topic."""

    child: Child
    group: int


@dataclass(frozen=True, slots=True)
class JobPolicySet:
    """How the chunks of `job` travel from now on; None forgets it.  For both machines of a hop."""

    job: Job
    policy: JobPolicy | None


@dataclass(frozen=True, slots=True)
class LinkPolicySet:
    """How `child` is served from now on ("" is all links together: the node's output); None sets no terms."""

    child: Child
    policy: LinkPolicy | None


@dataclass(frozen=True, slots=True)
class JobSuspended:
    """Send nothing more of `job` to `child` (None is everybody) until `JobResumed`; what was received stays."""

    job: Job
    child: Child | None


@dataclass(frozen=True, slots=True)
class JobResumed:
    """Go on with `job`: a word about one child and one about everybody (None) are taken back separately."""

    job: Job
    child: Child | None


@dataclass(frozen=True, slots=True)
class LaneSuspended:
    """Send nothing more to `child`, but of jobs that pass a suspension, until `LaneResumed`; what it has stays."""

    child: Child


@dataclass(frozen=True, slots=True)
class LaneResumed:
    """Go on sending to `child`."""

    child: Child


@dataclass(frozen=True, slots=True)
class TimerFired:
    """The time asked for by the last `WakeAt` has come.  Firing too early or twice is harmless."""


SenderEvent = (
    ReportReceived
    | ChunkAvailable
    | ChunkUnavailable
    | FramePublished
    | FrameFailed
    | ChildLost
    | ChildJoinedGroup
    | JobPolicySet
    | LinkPolicySet
    | JobSuspended
    | JobResumed
    | LaneSuspended
    | LaneResumed
    | TimerFired
)


@dataclass(frozen=True, slots=True)
class FindChunks:
    """Answer each with `ChunkAvailable` or `ChunkUnavailable`; what the depot lacks is fetched from above, once.

    For `job`.  The same chunk comes here again only when a further job wants it too, and it is not here yet.
    """

    digests: tuple[Digest, ...]
    job: Job = ""


@dataclass(frozen=True, slots=True)
class ForgetChunks:
    """Nobody below wants these any more: a fetch from above may be dropped."""

    digests: tuple[Digest, ...]


@dataclass(frozen=True, slots=True)
class PublishFrame:
    """Publish these pieces as one frame: on `group`'s topic, or to the one child when `group` is None."""

    frame: int
    group: int | None
    children: tuple[Child, ...]
    pieces: tuple[Piece, ...]


@dataclass(frozen=True, slots=True)
class PublishMark:
    """Publish a mark on the child's own bulk topic, after every frame published before."""

    child: Child
    session: int
    mark: int
    charged: int


@dataclass(frozen=True, slots=True)
class InviteToGroup:
    """Ask the child to subscribe to the group's topic; it answers `ChildJoinedGroup`."""

    child: Child
    group: int


@dataclass(frozen=True, slots=True)
class DismissFromGroup:
    """Tell the child to unsubscribe from the group's topic."""

    child: Child
    group: int


@dataclass(frozen=True, slots=True)
class TellAbsent:
    """Tell the child that nobody above holds these chunks."""

    child: Child
    digests: tuple[Digest, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class LaneChanged:
    """For status and log: the child's lane is now "active", "demoted" or "parked", and why."""

    child: Child
    state: str
    reason: str


@dataclass(frozen=True, slots=True)
class LaneSlowed:
    """For the log: the adaptive lane of the child now sends at `rate` bytes per second (None: at will), and why."""

    child: Child
    rate: float | None
    reason: str


@dataclass(frozen=True, slots=True)
class WakeAt:
    """Fire `TimerFired` at `time` (the clock of `now`).  The newest one replaces all before."""

    time: float


SenderCommand = (
    FindChunks
    | ForgetChunks
    | PublishFrame
    | PublishMark
    | InviteToGroup
    | DismissFromGroup
    | TellAbsent
    | LaneChanged
    | LaneSlowed
    | WakeAt
)


# == the child's side: Receiver ========================================================================


@dataclass(frozen=True, slots=True)
class ChunksWanted:
    """Fetch these chunks for `job`, in this order, after those that were wanted for it before.

    A chunk that is wanted for another job already is wanted for both: it goes for the one that may, and is more urgent.
    """

    digests: tuple[Digest, ...]
    job: Job = ""


@dataclass(frozen=True, slots=True)
class ChunksUnwanted:
    """Stop fetching these."""

    digests: tuple[Digest, ...]


@dataclass(frozen=True, slots=True)
class FrameReceived:
    """A frame of these pieces arrived."""

    pieces: tuple[Piece, ...]


@dataclass(frozen=True, slots=True)
class MarkReceived:
    """A mark arrived."""

    session: int
    mark: int
    charged: int


@dataclass(frozen=True, slots=True)
class AbsentReceived:
    """The parent says that nobody above holds these."""

    digests: tuple[Digest, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class ChunksStored:
    """These chunks' bytes hash to their digests and are in the store."""

    digests: tuple[Digest, ...]


@dataclass(frozen=True, slots=True)
class ChunkRejected:
    """The assembled bytes do not hash to the digest (or could not be stored): they were thrown away."""

    digest: Digest
    reason: str


@dataclass(frozen=True, slots=True)
class ChildTermsSet:
    """What this child asks of its parent: segments of so many bytes, pauses between them in seconds, bytes per second.

    0 is no wish.
    """

    segment: int = 0
    pause: float = 0.0
    rate: int = 0


@dataclass(frozen=True, slots=True)
class ParentConnected:
    """The way to the parent is open again: everything still wanted is asked for anew."""


@dataclass(frozen=True, slots=True)
class ParentLost:
    """The way to the parent is cut: say nothing until `ParentConnected`."""


ReceiverEvent = (
    ChunksWanted
    | ChunksUnwanted
    | JobPolicySet
    | ChildTermsSet
    | FrameReceived
    | MarkReceived
    | AbsentReceived
    | ChunksStored
    | ChunkRejected
    | ParentConnected
    | ParentLost
    | TimerFired
)


@dataclass(frozen=True, slots=True)
class SendReport:
    """Send this report to the parent."""

    report: Report


@dataclass(frozen=True, slots=True)
class KeepPiece:
    """Copy the piece's bytes of the frame just received into the chunk's buffer (it is new)."""

    piece: Piece


@dataclass(frozen=True, slots=True)
class AssembleChunk:
    """All bytes of the chunk are here: verify and store it, answer `ChunksStored` or `ChunkRejected`."""

    digest: Digest


@dataclass(frozen=True, slots=True)
class StoreChunks:
    """Each of these pieces of the frame just received is a whole chunk: verify and store them, answer as above."""

    pieces: tuple[Piece, ...]


@dataclass(frozen=True, slots=True)
class DiscardChunk:
    """Throw the chunk's buffer away."""

    digest: Digest


@dataclass(frozen=True, slots=True)
class ReportAbsent:
    """The chunk can't be had from the parent for now; whoever wants it is told."""

    digest: Digest
    reason: str


ReceiverCommand = SendReport | KeepPiece | AssembleChunk | StoreChunks | DiscardChunk | ReportAbsent | WakeAt
