"""Messages of nodes that find, ask and change their parents (docs/protocol.md, section 12).

Rules
- As in `messages`, whose table `CATALOGUE` names their kinds.
- What the region or a node vouches for travels as signed bytes (`content.parents`), whoever relays it.
"""

from __future__ import annotations

import msgspec

from tiercast_protocol.content.trust.proving import NO_PROOF, Proof
from tiercast_protocol.wire.root import Message


class ParentsTold(Message, frozen=True, kw_only=True, omit_defaults=True):
    """Down to one node: a `content.parents.Parents`, signed by the region."""

    data: bytes
    signature: bytes


class Below(Message, frozen=True, kw_only=True, omit_defaults=True):
    """A node below one that moved, with its parent and key, for gateways that never heard of it."""

    node: str
    parent: str
    public_key: bytes
    generation: int
    seq: int = 0


class Placed(Message, frozen=True, kw_only=True, omit_defaults=True):
    """Up to the server: `node` said where it is (a `content.parents.Placing`, signed by it), and who is below it."""

    node: str
    data: bytes
    signature: bytes
    below: list[Below] = msgspec.field(default_factory=list)


class Left(Message, frozen=True, kw_only=True, omit_defaults=True):
    """Down the way that a node was reached by: it is below `parent` since its placing `seq`, no longer here."""

    node: str
    parent: str
    seq: int


class GuestAsked(Message, frozen=True, kw_only=True, omit_defaults=True):
    """Up from a node that looks for a parent: is there a place?

    `enter` takes it, `size` asks for bytes to measure, `prove` for a proof of who answers.
    """

    nonce: bytes
    enter: bool = False
    size: int = 0
    prove: bool = False


class GuestAnswered(Message, frozen=True, kw_only=True, omit_defaults=True):
    """Down: whether there is a place; if not, why, and the seconds after which asking again makes sense."""

    nonce: bytes
    granted: bool
    wait: int = 0
    reason: str = ""
    filler: bytes = b""
    proof: Proof = NO_PROOF
