"""What a joining node says to get in, and how the region checks it (docs/protocol.md, section 8).

Rules
- One definition for both sides: the node makes the request, the server checks it, the broker knows the login.
- The proof is an HMAC under the token's secret over key and name, so a token that was overheard as a
  request serves no other key; the signature is the new key's, so nobody enrols a key that he does not hold.
- The broker knows only a hash of the secret, and only for the time of the token.
"""

from __future__ import annotations

import hashlib
import hmac

from tiercast_protocol.content.trust.credential import Token
from tiercast_protocol.content.trust.keys import PrivateKey, verify
from tiercast_protocol.errors import SignatureInvalid
from tiercast_protocol.wire.messages import EnrolRequest
from tiercast_protocol.wire.topics import JOIN_PREFIX

DOMAIN = "tiercast enrolment 1"


def join_user(token_id: str) -> str:
    """The joining node's name on its parent's broker, in topics and in `to`."""
    return JOIN_PREFIX + token_id


def join_password(secret: bytes) -> str:
    """The joining node's password at its parent's broker."""
    return secret.hex()


def make_request(token: Token, key: PrivateKey, password_hash: str) -> EnrolRequest:
    """The request of the node that holds `token` and `key`; `password_hash` is of its own broker password."""
    said = _said(key.public, token.name)
    return EnrolRequest(
        token_id=token.token_id,
        name=token.name,
        role=token.role,
        public_key=key.public,
        password_hash=password_hash,
        proof=_proof(token.secret, said),
        signature=key.sign(DOMAIN, said),
    )


def check_key(request: EnrolRequest) -> None:
    """Check that whoever asks holds the key that it names.

    Raises:
        SignatureInvalid: it does not, or that is no key.
    """
    verify(request.public_key, DOMAIN, _said(request.public_key, request.name), request.signature)


def check_proof(request: EnrolRequest, secret: bytes) -> None:
    """Check that whoever asks holds the token, for this key and name.

    Raises:
        SignatureInvalid: it does not.
    """
    if not hmac.compare_digest(_proof(secret, _said(request.public_key, request.name)), request.proof):
        raise SignatureInvalid("enrolment", "the proof was not made with the token's secret")


def _said(public_key: bytes, name: str) -> bytes:
    return public_key + name.encode()


def _proof(secret: bytes, said: bytes) -> bytes:
    return hmac.new(secret, said, hashlib.sha256).digest()
