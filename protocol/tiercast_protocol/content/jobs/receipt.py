"""Receipts: an endpoint's signed word on what became of an order.

Rules
- Only a final state has a receipt.  It is signed by the endpoint's own key, so no relay can invent or change it.
- `seq` counts at the endpoint and never goes back; of two records of one (job, revision, attempt) the higher holds.
- A program's output is cut to its limit before it gets here.
"""

from __future__ import annotations

import msgspec

from tiercast_protocol.content.sealed.digest import Digest
from tiercast_protocol.content.trust.keys import PrivateKey
from tiercast_protocol.content.trust.signed import opened, signed
from tiercast_protocol.wire.topics import valid_name

DOMAIN = "tiercast receipt 1"

#: Every state that a target can be in, and whether it is final.
STATES: dict[str, bool] = {
    "ordered": False,
    "waiting": False,
    "fetching": False,
    "staged": False,
    "installing": False,
    "removing": False,
    "running": False,
    "done": True,
    "failed": True,
    "interrupted": True,
    "cancelled": True,
    "rejected": True,
    "expired": True,
}
#: What gateways say of themselves only.
RELAY_STATES: dict[str, bool] = {"relaying": False, "held": False}


class ProgramResult(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one program did: its exit code (negative: the signal that ended it), seconds, and output."""

    argv: list[str]
    exit: int
    timed_out: bool
    seconds: float
    output: str


class ActionResult(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one of the package's actions did, as a sentence, and seconds."""

    action: str
    did: str
    seconds: float = 0.0


class Receipt(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of one order at one endpoint.

    Attributes:
        job, revision, attempt: of the order.
        seq: the endpoint's count at this record.
        node, generation: who says so.
        state: a final one of `STATES`.
        code, detail: stable code and readable text; "" when there is nothing to say.
        started, finished: milliseconds since 1970; 0 when it never came to it.
        package, version, root: what it is about.
        programs: those that ran, in order.
        actions: the package's own, in order of doing; those that were taken back stand there again.
    """

    job: str
    revision: int
    attempt: int
    seq: int
    node: str
    generation: int
    state: str
    code: str
    detail: str
    started: int
    finished: int
    package: str
    version: str
    root: Digest
    programs: list[ProgramResult] = []
    actions: list[ActionResult] = []

    def __post_init__(self) -> None:
        """Refuse what can't be a receipt."""
        if not STATES.get(self.state, False):
            raise ValueError(f"state {self.state[:40]!r} is not final")
        if not valid_name(self.job) or not valid_name(self.node):
            raise ValueError("job or node is no name")
        if min(self.revision, self.attempt, self.seq, self.generation, self.started, self.finished) < 0:
            raise ValueError("a count or time is negative")


def sign_receipt(receipt: Receipt, key: PrivateKey) -> tuple[bytes, bytes]:
    """The receipt's bytes and the endpoint's signature of them."""
    return signed(receipt, DOMAIN, key)


def open_receipt(data: bytes, signature: bytes, public_key: bytes) -> Receipt:
    """The receipt in `data`, proved to be of the holder of `public_key`.

    Raises:
        SignatureInvalid: not signed by this key.
        MessageInvalid: signed, and yet no receipt that this node can read.
    """
    return opened(Receipt, DOMAIN, data, signature, public_key, "receipt")
