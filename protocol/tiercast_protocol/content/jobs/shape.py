"""A job's changed terms, signed by the region (docs/protocol-steering.md, section 2).

Rules
- Signed like an order and under a domain of its own; what is signed travels byte for byte.
- All terms at once, never a difference; `change` counts up, and the highest stands: lost, late and repeated ones do
  no harm.  The same number stands in the options of orders that are signed later.
- It can't change what is installed where: only words of the transfer are in it.
"""

from __future__ import annotations

import msgspec

from tiercast_protocol.content.trust.keys import PrivateKey
from tiercast_protocol.content.trust.signed import opened, signed
from tiercast_protocol.transfer.terms import JOB_WORDS
from tiercast_protocol.wire.topics import valid_name

DOMAIN = "tiercast shape 1"


class Shape(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The terms of `job` from its `change`-th change on."""

    region: str
    epoch: int
    job: str
    change: int
    options: dict[str, str | int | bool] = {}

    def __post_init__(self) -> None:
        """Refuse what can't be meant."""
        if not valid_name(self.region) or not valid_name(self.job) or self.change < 1 or self.epoch < 0:
            raise ValueError("region, epoch, job or change out of range")
        if not self.options.keys() <= JOB_WORDS:
            raise ValueError("words that are not of a transfer")


def sign_shape(shape: Shape, key: PrivateKey) -> tuple[bytes, bytes]:
    """The bytes of the terms and the region's signature of them."""
    return signed(shape, DOMAIN, key)


def open_shape(data: bytes, signature: bytes, region_public_key: bytes) -> Shape:
    """The terms in `data`, proved to be the region's.

    Raises:
        SignatureInvalid: not signed by this key.
        MessageInvalid: signed, and yet no terms that this node can read.
    """
    return opened(Shape, DOMAIN, data, signature, region_public_key, "shape")
