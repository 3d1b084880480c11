"""Values that travel signed: what was signed is what travels, byte for byte, under a domain of its kind.

Rules
- One way to sign and one way to open for every kind (docs/protocol.md, section 7): the canonical bytes, and a signature
  of them under the kind's domain, so that what was signed as one kind can't be shown as another.
- The signature is proved before a byte is read.  Whoever relays it passes on the bytes that he got and encodes nothing.
"""

from __future__ import annotations

from typing import TypeVar

from tiercast_protocol.content.trust.keys import PrivateKey, verify
from tiercast_protocol.errors import MessageInvalid
from tiercast_protocol.wire import codec

T = TypeVar("T")


def signed(value: object, domain: str, key: PrivateKey) -> tuple[bytes, bytes]:
    """The canonical bytes of `value`, and the signature of them with `key` in `domain`."""
    data = codec.encode(value)
    return data, key.sign(domain, data)


def opened(kind: type[T], domain: str, data: bytes, signature: bytes, public_key: bytes, what: str) -> T:
    """The value of `kind` in `data`, proved to be of the holder of `public_key`; errors call it `what`.

    Raises:
        SignatureInvalid: not signed by this key in this domain.
        MessageInvalid: signed, and yet nothing that this node can read.
    """
    verify(public_key, domain, data, signature)
    try:
        return codec.decode(data, kind)
    except MessageInvalid as error:
        raise MessageInvalid(error.reason, what) from error
