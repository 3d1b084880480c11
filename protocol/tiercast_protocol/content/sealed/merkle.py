"""One digest over many leaves, and short proofs that a leaf is among them.

Rules
- Leaves and inner nodes are hashed under different first bytes, so an inner node can't pass for a leaf.
- The tree is as balanced as its count allows: an odd node at the end of a level goes up unchanged.
- The root is hashed once more with the count, so a proof fits one index of one count only.
- A proof is the sibling digests from the leaf upwards, 32 bytes each; a node without a sibling adds none.
"""

from __future__ import annotations

from collections.abc import Sequence

from tiercast_protocol.content.sealed.digest import DIGEST_SIZE, Digest, digest_of
from tiercast_protocol.errors import SignatureInvalid
from tiercast_protocol.wire import codec

_LEAF, _NODE, _TOP = b"\x00", b"\x01", b"\x02"
#: Most leaves of one tree.
MAX_LEAVES = 1 << 24


def leaf_of(name: str, public_key: bytes, generation: int) -> bytes:
    """The leaf of one target: who it is by name, by key, and by how often that name was given a key."""
    return codec.encode([name, public_key, generation])


class Tree:
    """A tree over at least one leaf; keeps every level, so each proof is cheap (64 bytes per leaf)."""

    def __init__(self, leaves: Sequence[bytes]) -> None:
        if not 0 < len(leaves) <= MAX_LEAVES:
            raise ValueError(f"a tree of {len(leaves)} leaves")
        level = [digest_of(_LEAF + leaf) for leaf in leaves]
        self._levels = [level]
        while len(level) > 1:
            paired = [_join(level[n], level[n + 1]) for n in range(0, len(level) - 1, 2)]
            level = paired + level[len(paired) * 2 :]
            self._levels.append(level)

    @property
    def root(self) -> Digest:
        """The digest over all leaves."""
        return _close(self._levels[-1][0], len(self._levels[0]))

    def proof(self, index: int) -> list[Digest]:
        """The siblings on the way from leaf `index` to the root."""
        if not 0 <= index < len(self._levels[0]):
            raise IndexError(index)
        siblings = []
        for level in self._levels[:-1]:
            if index ^ 1 < len(level):
                siblings.append(level[index ^ 1])
            index >>= 1
        return siblings


def root(leaves: Sequence[bytes]) -> Digest:
    """The digest over `leaves` (at least one), in this order."""
    return Tree(leaves).root


def proof(leaves: Sequence[bytes], index: int) -> list[Digest]:
    """The siblings that prove leaf `index`.  For many proofs of one tree use `Tree`."""
    return Tree(leaves).proof(index)


def verify(root: Digest, leaf: bytes, index: int, count: int, proof: Sequence[bytes]) -> None:
    """Check that `leaf` is number `index` of the `count` leaves under `root`.

    Raises:
        SignatureInvalid: it is not, or the proof is of another shape.
    """
    if not 0 <= index < count <= MAX_LEAVES:
        raise SignatureInvalid("target", f"index {index} of {count}")
    digest, siblings, width = digest_of(_LEAF + leaf), iter(proof), count
    while width > 1:
        if index ^ 1 < width:
            sibling = next(siblings, b"")
            if len(sibling) != DIGEST_SIZE:
                raise SignatureInvalid("target", "the proof is too short")
            digest = _join(sibling, digest) if index & 1 else _join(digest, sibling)
        index, width = index >> 1, (width + 1) >> 1
    if next(siblings, None) is not None:
        raise SignatureInvalid("target", "the proof is too long")
    if _close(digest, count) != root:
        raise SignatureInvalid("target", "the proof leads to another root")


def _join(left: Digest, right: Digest) -> Digest:
    return digest_of(_NODE + left + right)


def _close(top: Digest, count: int) -> Digest:
    return digest_of(_TOP + count.to_bytes(4, "big") + top)
