"""What one child wants for one job, and what was sent of it (docs/protocol-transfer.md, section 6.7).

Rules
- Chunks that were lost or have holes come before the others of their job, and pass no suspension and no pause.
- Bytes are counted by reason where they are charged; the ledger stands on these counts.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from tiercast_protocol.transfer.events import Digest
from tiercast_protocol.transfer.events import Job as JobName
from tiercast_protocol.transfer.gates import Gate, Gates
from tiercast_protocol.transfer.jobs import Job
from tiercast_protocol.transfer.ranges import Span


@dataclass(slots=True)
class JobBytes:
    """Payload bytes of one job charged to one child, by reason; segments over, and bytes of the present one."""

    first: int = 0
    lost: int = 0
    repair: int = 0
    failed: int = 0
    frames: int = 0
    segments: int = 0
    segment_bytes: int = 0

    def add(self, other: JobBytes) -> None:
        """Take the counts of another."""
        self.first += other.first
        self.lost += other.lost
        self.repair += other.repair
        self.failed += other.failed
        self.frames += other.frames


@dataclass(slots=True, eq=False)
class Queue:
    """One job's part of one lane."""

    job: Job
    #: The job's own gates on this link, and all that hold for the job here.
    gates: Gates | None = None
    chain: tuple[Gate, ...] = ()
    #: Why nothing of it may go however long one waits; "" when it may.
    closed: str = ""
    #: What may be sent now, in order.
    urgent: OrderedDict[Digest, None] = field(default_factory=OrderedDict)
    sendable: OrderedDict[Digest, None] = field(default_factory=OrderedDict)
    #: Chunks wanted, at hand or not.
    wanted: int = 0
    bytes: JobBytes = field(default_factory=JobBytes)

    def head(self) -> OrderedDict[Digest, None]:
        """The chunks to take next."""
        return self.urgent or self.sendable


@dataclass(slots=True)
class Want:
    """What is left to send of one chunk; `spans` None is all of it.  `reason` is a field of `JobBytes`.

    `others` are further jobs that it is wanted for, by name (`further`).
    """

    queue: Queue
    spans: list[Span] | None = None
    reason: str = "first"
    others: tuple[JobName, ...] = ()
