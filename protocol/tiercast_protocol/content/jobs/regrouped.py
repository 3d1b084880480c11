"""What the groups of a site-held job came to be after it was ordered: the region's signed word (docs/protocol.md, 14).

Rules
- It stands in for the definition that the order carries; of several the one that was said last.
- It lets a gateway decide about other machines, and lets nobody vouch who could not before.
"""

from __future__ import annotations

import msgspec

from tiercast_protocol.content.jobs.vouching import Definition
from tiercast_protocol.content.trust.keys import PrivateKey
from tiercast_protocol.content.trust.signed import opened, signed
from tiercast_protocol.errors import MessageInvalid

DOMAIN = "tiercast site groups 1"


class Regrouped(msgspec.Struct, frozen=True, kw_only=True):
    """Whom a job means from now on; `at` and `expires` in milliseconds since 1970, `definition` as orders carry it."""

    region: str
    job: str
    at: int
    expires: int
    definition: str

    def __post_init__(self) -> None:
        """Refuse what can't be one."""
        if not all(0 <= number < 1 << 53 for number in (self.at, self.expires)):
            raise ValueError("a number is out of range")

    @property
    def said(self) -> Definition:
        """Read.

        Raises:
            MessageInvalid: it can't be read.
        """
        try:
            return msgspec.json.decode(self.definition, type=Definition)
        except msgspec.DecodeError as error:
            raise MessageInvalid(str(error), "regrouped") from error


def sign_regrouped(word: Regrouped, key: PrivateKey) -> tuple[bytes, bytes]:
    """The word's bytes and the region's signature of them."""
    return signed(word, DOMAIN, key)


def open_regrouped(data: bytes, signature: bytes, region_key: bytes) -> Regrouped:
    """The word in `data`, proved to be the region's.

    Raises:
        SignatureInvalid: not signed by this key.
        MessageInvalid: signed, and yet nothing that this node can read.
    """
    word = opened(Regrouped, DOMAIN, data, signature, region_key, "regrouped")
    word.said  # noqa: B018 - what can't be read is refused here
    return word
