"""Messages about the desired state between the server and the gateways (docs/protocol.md, section 15).

Rules
- As in `messages`, whose table `CATALOGUE` names their kinds.
- Nothing is done by these words at any tier but to count and to show.  What a gateway counted it signs all the same: a
  broker that could say that all machines are as they are to be would hide those that are not.
"""

from __future__ import annotations

import msgspec

from tiercast_protocol.content.trust.keys import PrivateKey, verify
from tiercast_protocol.wire import codec
from tiercast_protocol.wire.root import Message

DRIFT_DOMAIN = "tiercast drift 1"


class Assigned(Message, frozen=True, kw_only=True, omit_defaults=True):
    """Down to one gateway.  What the assignment `name` requires of `nodes`, which are its children; none: forget it.

    `seq` grows with every such word about this assignment to this gateway; `requires` and `lacks` are those of
    `content.assigned.Rule`.
    """

    name: str
    seq: int
    requires: str
    lacks: bool = False
    nodes: list[str] = msgspec.field(default_factory=list)


class DriftTold(Message, frozen=True, kw_only=True, omit_defaults=True):
    """Up.  How the machines of an assignment stand below the gateway `node`, counted by state.

    `of` is the `Assigned.seq` that it goes by, `at` when that was so (milliseconds since 1970); `some` are machines
    that are not as they are to be: name, state, version.
    """

    node: str
    name: str
    of: int
    at: int
    counts: dict[str, int] = msgspec.field(default_factory=dict)
    some: list[tuple[str, str, str]] = msgspec.field(default_factory=list)
    signature: bytes = b""

    def signed(self, key: PrivateKey) -> DriftTold:
        """The same word with the gateway's signature."""
        return msgspec.structs.replace(self, signature=key.sign(DRIFT_DOMAIN, self._data()))

    def prove(self, public_key: bytes) -> None:
        """Check that the holder of `public_key` said it.

        Raises:
            SignatureInvalid: it did not.
        """
        verify(public_key, DRIFT_DOMAIN, self._data(), self.signature)

    def _data(self) -> bytes:
        counts = sorted(self.counts.items())
        return codec.encode([self.node, self.name, self.of, self.at, counts, self.some])
