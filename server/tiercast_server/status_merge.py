"""Which of two things said of one target stands.  Pure (docs/protocol.md, section 4).

Rules
- A record ranks by (revision, attempt, proved and final, seq); the highest rank wins.  That is a total
  order, so late, repeated and reordered records give nothing, and a change of parent neither loses
  nor doubles.
- A final state counts only with a receipt that the target's own key signed; the caller says so (`proved`).
- What the region itself concluded (expired, cancelled before it was ordered) yields to nothing but a
  receipt: the endpoint may have finished while it was cut off.
- "relaying" and "held" are not said of a target but of a gateway on the way: `is_hop`.
"""

from __future__ import annotations

from dataclasses import dataclass

from tiercast_protocol.content.jobs.receipt import RELAY_STATES, STATES
from tiercast_protocol.wire.messages import StatusRecord


@dataclass(frozen=True, slots=True)
class Standing:
    """What the region holds of one target; the fields are those of `StatusRecord`."""

    state: str
    revision: int = 0
    attempt: int = 0
    seq: int = 0
    code: str = ""
    detail: str = ""
    done: int = 0
    total: int = 0
    at: int = 0
    proved: bool = False
    receipt: bytes = b""
    signature: bytes = b""
    owner: str = ""

    @property
    def final(self) -> bool:
        """Whether nothing more is expected of the target."""
        return STATES[self.state]

    @property
    def rank(self) -> tuple[int, int, bool, int]:
        """The higher one stands."""
        return (self.revision, self.attempt, self.final and self.proved, self.seq)


def is_hop(record: StatusRecord) -> bool:
    """Whether the record tells of a gateway on the way, not of a target."""
    return record.state in RELAY_STATES


def is_final(record: StatusRecord) -> bool:
    """Whether the record claims a final state, so that it needs a receipt."""
    return STATES.get(record.state, False)


def merge(held: Standing, record: StatusRecord, *, proved: bool) -> Standing | None:
    """What stands after `record` came; None where it changes nothing.

    `proved`: the receipt in `record` is the target's own and agrees with it.
    """
    if record.state not in STATES or min(record.revision, record.attempt, record.seq) < 0:
        return None
    said = Standing(
        state=record.state,
        revision=record.revision,
        attempt=record.attempt,
        seq=record.seq,
        code=record.code,
        detail=record.detail,
        done=record.done,
        total=record.total,
        at=record.at,
        proved=proved,
        receipt=record.receipt if proved else b"",
        signature=record.signature if proved else b"",
        owner=record.owner,
    )
    if said.final and not proved:
        return None
    if held.final and not held.proved:
        return said if said.final else None
    return said if said.rank > held.rank else None
