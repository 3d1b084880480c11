"""Credentials and tokens: how a node becomes part of a region, and shows that it is.

Rules
- A credential says, signed by the region, that a name belongs to a key at a generation, below a parent, in a role.
- A name is a label; the key and its generation are the identity (docs/protocol.md, section 7).
- A token is one line of text that a human carries to the new machine: where to connect, a secret for one use, and the
  region's key, so the machine trusts that region alone.  A few check bytes tell a slip of copying from a wrong token.
"""

from __future__ import annotations

import base64
import binascii

import msgspec

from tiercast_protocol.content.sealed.digest import digest_of
from tiercast_protocol.content.trust.keys import KEY_SIZE, PrivateKey
from tiercast_protocol.content.trust.signed import opened, signed
from tiercast_protocol.errors import MessageInvalid, UsageError
from tiercast_protocol.wire import codec
from tiercast_protocol.wire.topics import valid_name

DOMAIN = "tiercast credential 1"
ROLES = frozenset({"server", "gateway", "endpoint"})
TOKEN_PREFIX = "tcj1-"  # noqa: S105 - the mark of the format
_CHECK_BYTES = 4
_MAX_TOKEN = 4096


class Credential(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """That `name` is the node with `public_key`.

    Attributes:
        region: name of the region; `server` is the name of its server.
        name, role, parent: of the node; `parent` is "" for the server.
        public_key: 32 bytes.
        generation: how often the name was given a key, from 1.
        issued: milliseconds since 1970.
    """

    region: str
    name: str
    role: str
    parent: str
    public_key: bytes
    generation: int
    issued: int
    server: str

    def __post_init__(self) -> None:
        """Refuse what can't be a credential."""
        if not all(map(valid_name, (self.region, self.name, self.server, self.parent or self.server))):
            raise ValueError("region, name, parent or server is no name")
        if self.role not in ROLES or len(self.public_key) != KEY_SIZE or self.generation < 1 or self.issued < 0:
            raise ValueError("role, key, generation or time out of range")


def sign_credential(credential: Credential, key: PrivateKey) -> tuple[bytes, bytes]:
    """The credential's bytes and the region's signature of them."""
    return signed(credential, DOMAIN, key)


def open_credential(data: bytes, signature: bytes, region_public_key: bytes) -> Credential:
    """The credential in `data`, proved to be the region's.

    Raises:
        SignatureInvalid: not signed by this key.
        MessageInvalid: signed, and yet no credential that this node can read.
    """
    return opened(Credential, DOMAIN, data, signature, region_public_key, "credential")


class Token(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """What a new node needs to ask for its credential.

    Attributes:
        region, parent, name, role: of the node to be.
        url: of the parent's broker.
        token_id, secret: of this token, good once.
        region_key: the region's public key, 32 bytes.
        expires: milliseconds since 1970.
    """

    region: str
    parent: str
    url: str
    token_id: str
    secret: bytes
    name: str
    role: str
    region_key: bytes
    expires: int

    def __post_init__(self) -> None:
        """Refuse what can't be a token."""
        if not all(map(valid_name, (self.region, self.parent, self.name, self.token_id))):
            raise ValueError("region, parent, name or id is no name")
        if self.role not in ROLES or len(self.region_key) != KEY_SIZE or not self.secret or not self.url:
            raise ValueError("role, key, secret or url out of range")

    def text(self) -> str:
        """The token as one word of letters, digits, "-" and "_"."""
        data = codec.encode(self)
        return TOKEN_PREFIX + base64.urlsafe_b64encode(digest_of(data)[:_CHECK_BYTES] + data).rstrip(b"=").decode()

    @classmethod
    def from_text(cls, text: str) -> Token:
        """The token that `text` shows; space around it is ignored.

        Raises:
            UsageError: no token, or not all of it.
        """
        text = text.strip()
        if not text.startswith(TOKEN_PREFIX) or len(text) > _MAX_TOKEN:
            raise _no_token(f"{text[:12]!r} is no token")
        body = text.removeprefix(TOKEN_PREFIX)
        try:
            data = base64.b64decode(body + "=" * (-len(body) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError) as error:
            raise _no_token("the token holds characters that no token has, or lacks some") from error
        if digest_of(data[_CHECK_BYTES:])[:_CHECK_BYTES] != data[:_CHECK_BYTES]:
            raise _no_token("the token is not complete, or was changed")
        try:
            return codec.decode(data[_CHECK_BYTES:], cls)
        except MessageInvalid as error:
            raise _no_token("the token is of another version of Tiercast") from error


def _no_token(what: str) -> UsageError:
    return UsageError(
        code="token.invalid",
        what=what,
        todo=f"Copy the whole line that `tiercast node invite` printed; it begins with {TOKEN_PREFIX}.",
    )
