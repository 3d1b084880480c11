"""What the region tells a node of its parents, and what a node says of where it is (docs/protocol.md, section 12).

Rules
- A node takes its parents from the region alone: the list is signed with the region's key, for this node at this
  generation, so that no relay can send it (and its broker password) to a parent of the relay's own.
- A node says itself where it is, signed with its own key, with a number that only rises: the highest wins, and
  nobody else can move it.
"""

from __future__ import annotations

import msgspec

from tiercast_protocol.content.trust.keys import PrivateKey
from tiercast_protocol.content.trust.signed import opened, signed
from tiercast_protocol.wire.topics import valid_name

PARENTS_DOMAIN = "tiercast parents 1"
PLACING_DOMAIN = "tiercast placing 1"
#: Numbers stay below this, addresses and reasons below these.
_MOST, _LONGEST_URL, _LONGEST_REASON = 1 << 53, 1024, 200
#: Most candidates of one node.
MOST_CANDIDATES = 16


class Candidate(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A gateway (or the server) that lets the node in: its broker's address; the lower cost is tried first."""

    name: str
    url: str
    cost: int = 0

    def __post_init__(self) -> None:
        """Refuse what can't be one."""
        if not valid_name(self.name) or len(self.url) > _LONGEST_URL or not 0 <= self.cost < _MOST:
            raise ValueError("name, address or cost out of range")


class Parents(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where `node` belongs, and where else it may go.

    Attributes:
        issued: milliseconds since 1970; of two lists the later one stands.
        home: the parent that it has while all is well.
        candidates: where it may go while that one is away, in order.
        called: when it was last told to go home (milliseconds since 1970); 0 is never.
    """

    region: str
    node: str
    generation: int
    issued: int
    home: Candidate
    candidates: list[Candidate] = []
    called: int = 0

    def __post_init__(self) -> None:
        """Refuse what can't be a list of parents."""
        numbers = (self.generation, self.issued, self.called)
        if not all(0 <= number < _MOST for number in numbers) or len(self.candidates) > MOST_CANDIDATES:
            raise ValueError("a number, or the count of candidates, is out of range")
        if self.node in {self.home.name, *(one.name for one in self.candidates)}:
            raise ValueError("a node can't be its own parent")


class Placing(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """That `node` is below `parent` now.

    Attributes:
        seq: rises with every word of this kind; the highest stands.
        at: milliseconds since 1970.
        reason: why it went there, for humans.
        url: where its own children reach it; "" for an endpoint.
    """

    region: str
    node: str
    generation: int
    parent: str
    seq: int
    at: int
    reason: str = ""
    url: str = ""

    def __post_init__(self) -> None:
        """Refuse what can't be a placing."""
        if not (valid_name(self.node) and valid_name(self.parent)) or self.node == self.parent:
            raise ValueError("node or parent is no name")
        if not all(0 <= number < _MOST for number in (self.generation, self.seq, self.at)):
            raise ValueError("a number is out of range")
        if len(self.reason) > _LONGEST_REASON or len(self.url) > _LONGEST_URL:
            raise ValueError("reason or address too long")


def sign_parents(parents: Parents, key: PrivateKey) -> tuple[bytes, bytes]:
    """The list's bytes and the region's signature of them."""
    return signed(parents, PARENTS_DOMAIN, key)


def open_parents(data: bytes, signature: bytes, region_key: bytes) -> Parents:
    """The list in `data`, proved to be the region's.

    Raises:
        SignatureInvalid: not signed by this key.
        MessageInvalid: signed, and yet nothing that this node can read.
    """
    return opened(Parents, PARENTS_DOMAIN, data, signature, region_key, "parents")


def sign_placing(placing: Placing, key: PrivateKey) -> tuple[bytes, bytes]:
    """The placing's bytes and the node's signature of them."""
    return signed(placing, PLACING_DOMAIN, key)


def open_placing(data: bytes, signature: bytes, public_key: bytes) -> Placing:
    """The placing in `data`, proved to be of the holder of `public_key`.

    Raises:
        SignatureInvalid: not signed by this key.
        MessageInvalid: signed, and yet nothing that this node can read.
    """
    return opened(Placing, PLACING_DOMAIN, data, signature, public_key, "placing")
