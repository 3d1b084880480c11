"""How a parent proves who it is to a node that was told a new address of it (docs/protocol.md, section 12).

Rules
- The node asks with random bytes of its own; the parent signs them with both names, so no proof serves twice.
- A gateway signs with its own key, and shows the credential by which the region gave that key its name.  The server
  signs with the region's key, which every node knows since it joined.
- A relay that passes question and answer on proves that the parent is behind it: it may delay, as every broker may.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from tiercast_protocol.content.trust.credential import open_credential
from tiercast_protocol.content.trust.keys import PrivateKey, verify
from tiercast_protocol.errors import SignatureInvalid
from tiercast_protocol.wire import codec

DOMAIN = "tiercast parent 1"
#: Who may be a parent.
_PARENTS = frozenset({"server", "gateway"})


class Proof(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The parent's signature; `credential` and the region's signature of it, unless the region's own key signed.

    Without a signature it is none.
    """

    signature: bytes = b""
    credential: bytes = b""
    credential_signature: bytes = b""


#: What whoever was not asked for a proof, or knows none, gives.
NO_PROOF = Proof()


@dataclass(frozen=True, slots=True)
class Prover:
    """A parent that can prove itself.

    Attributes:
        region, name: whose parent it is, and its own name.
        key: its own; the server's is the region's.
        credential, signature: the credential's bytes and the region's signature; nothing at the server.
    """

    region: str
    name: str
    key: PrivateKey = field(repr=False)
    credential: bytes = b""
    signature: bytes = b""

    def prove(self, node: str, nonce: bytes) -> Proof:
        """The proof for `node`, which asked with `nonce`."""
        signature = self.key.sign(DOMAIN, _said(self.region, self.name, node, nonce))
        return Proof(signature=signature, credential=self.credential, credential_signature=self.signature)


def check_parent(proof: Proof, *, region: str, parent: str, node: str, nonce: bytes, region_key: bytes) -> None:
    """Check that `parent` of `region` answered `node`, which asked with `nonce`.

    Args:
        proof: what came.
        region: the region's name.
        parent: who is to have answered.
        node: who asked.
        nonce: what the node asked with.
        region_key: the region's public key.

    Raises:
        SignatureInvalid: somebody else did.
        MessageInvalid: the credential can't be read.
    """
    key = region_key
    if proof.credential:
        found = open_credential(proof.credential, proof.credential_signature, region_key)
        if (found.region, found.name) != (region, parent) or found.role not in _PARENTS:
            raise SignatureInvalid("parent", f"its credential is of {found.name}, {found.role} in {found.region}")
        key = found.public_key
    verify(key, DOMAIN, _said(region, parent, node, nonce), proof.signature)


def _said(region: str, parent: str, node: str, nonce: bytes) -> bytes:
    return codec.encode([region, parent, node, nonce])
