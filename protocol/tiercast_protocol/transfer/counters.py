"""What a child counts of what came (docs/protocol-transfer.md, section 6.4).

Rules
- Every payload byte stands in exactly one of the four sums, so that both ends of a leg can be compared.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tiercast_protocol.transfer.events import Job


@dataclass(slots=True)
class ReceiverCounters:
    """Bytes and chunks of this session.  useful + repeated + unasked + refused = all payload that came.

    `lost` and `surplus` are bytes by which marks lifted and lowered the count: what was charged and never came, and
    what came beyond it.  So what came + lost - surplus is the count that the parent is told.  `corrupt` are bytes of
    whole chunks that were thrown away; they are in `useful` too.
    """

    useful: int = 0
    repeated: int = 0
    unasked: int = 0
    refused: int = 0
    stored: int = 0
    rejected: int = 0
    absent: int = 0
    frames: int = 0
    lost: int = 0
    surplus: int = 0
    corrupt: int = 0
    #: Bytes of chunks that are in the store, by the job that they were fetched for.
    jobs: dict[Job, int] = field(default_factory=dict)
