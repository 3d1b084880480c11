"""Leaves of an order's target tree, as they travel (docs/protocol.md, section 7).

Rules
- As in `messages`, whose kinds carry them.
"""

from __future__ import annotations

from tiercast_protocol.wire.root import Message


class OrderTarget(Message, frozen=True, kw_only=True, omit_defaults=True):
    """One target of an order: its leaf's `index` in the target tree and the sibling digests up to the root.

    With a `voucher` (`content.vouching`, signed), `index` and `proof` are those of the gateway that vouches.
    `wake`: a group that it is in has its machines woken for every job.
    """

    node: str
    index: int
    proof: list[bytes]
    voucher: bytes = b""
    signature: bytes = b""
    wake: bool = False
