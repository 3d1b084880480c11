"""Whether a joining node is let in.  Pure (docs/protocol.md, section 8).

Rules
- A token is good for one name, one role, one key, until it expires.  The key that used it may ask again and
  gets the same reply; any other key is refused.
- Who does not hold the key that he names learns nothing, not even whether the token is good.
- A name that has joined is taken, unless the token was made to replace it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from tiercast_mqtt.password import parse_hash
from tiercast_protocol.content.trust.joining import check_key, check_proof
from tiercast_protocol.content.trust.keys import KEY_SIZE
from tiercast_protocol.errors import SignatureInvalid
from tiercast_protocol.wire.messages import EnrolRequest
from tiercast_server.nodes.nodes import Node


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """One row of tokens; times in milliseconds since 1970, `used_key` empty while unused."""

    id: str
    secret: bytes
    name: str
    role: str
    parent: str
    replaces: bool
    expires: int
    used_key: bytes
    reply: bytes


@dataclass(frozen=True, slots=True)
class Accept:
    """Let it in, at this generation of its name."""

    generation: int


@dataclass(frozen=True, slots=True)
class Repeat:
    """The same key asks again: say what was said."""


@dataclass(frozen=True, slots=True)
class Refuse:
    """Don't; `code` is stable, `reason` is for reading."""

    code: str
    reason: str


Verdict: TypeAlias = Accept | Repeat | Refuse


def judge(
    request: EnrolRequest, token: IssuedToken | None, held: Node | None, key_holder: str | None, *, now: int
) -> Verdict:
    """Decide on `request`.

    Args:
        request: what the joining node said.
        token: the token of that id, if there is one.
        held: the row of the node's name, removed or not.
        key_holder: name of a node that holds this public key now.
        now: milliseconds since 1970.
    """
    refusal = _malformed(request)
    if refusal is not None:
        return refusal
    if token is None:
        return Refuse("token.unknown", "this region has not issued such a token, or has withdrawn it")
    if token.used_key:
        same = token.used_key == request.public_key and held is not None and held.public_key == token.used_key
        return Repeat() if same else Refuse("token.used", "the token was used already; ask for another")
    return _wrong_token(request, token, now) or _wrong_node(request, token, held, key_holder)


def _wrong_token(request: EnrolRequest, token: IssuedToken, now: int) -> Refuse | None:
    if now >= token.expires:
        return Refuse("token.expired", "the token has expired; ask for another")
    if request.name != token.name:
        return Refuse("token.other-name", f"the token is for {token.name!r}, not for {request.name!r}")
    if request.role != token.role:
        return Refuse("token.other-role", f"the token is for a node of role {token.role}, not {request.role}")
    try:
        check_proof(request, token.secret)
    except SignatureInvalid as error:
        return Refuse("token.proof", str(error))
    return None


def _wrong_node(request: EnrolRequest, token: IssuedToken, held: Node | None, key_holder: str | None) -> Verdict:
    if held is None or held.state == "removed":
        return Refuse("node.unknown", f"{request.name!r} was removed from the region after the token was made")
    if held.has_joined and not token.replaces:
        return Refuse("node.exists", f"{request.name!r} has joined already, and the token is not to replace it")
    if key_holder is not None:
        return Refuse("enrol.key-taken", f"the key is that of {key_holder!r}; a copied machine needs a key of its own")
    return Accept(held.generation + 1)


def _malformed(request: EnrolRequest) -> Refuse | None:
    if len(request.public_key) != KEY_SIZE:
        return Refuse("enrol.malformed", "the public key is not one")
    # What goes into the broker's users file is checked to the last character: a line break would be another user.
    if parse_hash(request.password_hash) is None or not request.password_hash.isprintable():
        return Refuse("enrol.malformed", "the password's hash is not one")
    try:
        check_key(request)
    except SignatureInvalid as error:
        return Refuse("enrol.key-not-held", str(error))
    return None
