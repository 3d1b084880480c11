"""Joining a region with a token (docs/protocol.md, section 8).

Rules
- Key and broker password are made here and never leave: the region gets the public key and the password's hash.
- Both are on the disk before the request goes out.  A join that is cut off may be repeated with the same token:
  the region gives the same key the same answer.
- The answer counts only when the region's key of the token signed it, for this name, this role and our key.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path

import aiomqtt
import structlog

from tiercast_mqtt.password import hash_password
from tiercast_protocol.content.trust.credential import Token, open_credential
from tiercast_protocol.content.trust.joining import join_password, join_user, make_request
from tiercast_protocol.content.trust.keys import PrivateKey
from tiercast_protocol.errors import MessageInvalid, SignatureInvalid, StateError, UsageError
from tiercast_protocol.node.address import TlsFiles, check_trust, parse_address, what_to_look_at
from tiercast_protocol.node.broker import connect_once
from tiercast_protocol.node.joined import (
    ARTICLE,
    ENROLLED_FILE,
    KEY_FILE,
    PASSWORD_FILE,
    Enrolled,
    enrolled_of,
    save,
    write_private,
)
from tiercast_protocol.node.retry import refused_login
from tiercast_protocol.wire.envelope import Envelope, open_, seal, wrap
from tiercast_protocol.wire.messages import KIND_OF, Ack, EnrolReply, EnrolRequest, body_of
from tiercast_protocol.wire.topics import Topics

log = structlog.get_logger(__name__)

_silent = logging.getLogger("tiercast.join")
_silent.setLevel(logging.CRITICAL)
_silent.propagate = False

#: Seconds for all of it, and between two requests (the server may be several hops away).
DEADLINE_S = 30.0
_AGAIN_S, _RETRY_S = 3.0, 0.5


async def join(
    token_text: str,
    *,
    role: str,
    folder: Path,
    name: str = "",
    deadline_s: float = DEADLINE_S,
    tls: TlsFiles | None = None,
    before_saved: Callable[[], None] | None = None,
) -> Enrolled:
    """Join with the token and keep the result in `folder`.

    Args:
        token_text: what `tiercast node invite` printed.
        role: "gateway" or "endpoint": what this program is.
        folder: the node's state folder; made with mode 0700.
        name: the name that the node means to have; "" is the token's.
        deadline_s: seconds for all of it.
        tls: what to trust, where the broker's address is mqtts://.
        before_saved: called (in a thread) once the region has accepted and before that is written down: what a
            node that has joined must not be without, such as its settings, is written there.

    Raises:
        UsageError: the token is malformed, expired, used, for another name or role; the parent can't be reached;
            the region refused; the folder belongs to a node that has joined.
        StateError: the folder can't be used.
    """
    token = check_token(Token.from_text(token_text), role=role, name=name, now_ms=time.time_ns() // 1_000_000)
    key, password = await asyncio.to_thread(_secrets_in, folder)
    request = make_request(token, key, await asyncio.to_thread(hash_password, password))
    reply = await _Asking(token, request, tls or TlsFiles()).answer(deadline_s)
    if not reply.accepted:
        raise _refused(reply, token)
    enrolled = _checked(reply, token, key, password)
    if before_saved is not None:
        await asyncio.to_thread(before_saved)
    await asyncio.to_thread(save, folder, enrolled)
    log.info("joined", node=enrolled.name, role=role, region=enrolled.region, parent=enrolled.parent)
    return enrolled


def check_token(token: Token, *, role: str, name: str, now_ms: int) -> Token:
    """Check what can be told before anybody is asked.

    Raises:
        UsageError: the token is for another role or name, or its time is over.
    """
    if token.role != role:
        raise UsageError(
            code="token.role",
            what=f"The token is for {ARTICLE[token.role]}, this is the program of {ARTICLE[role]}.",
            todo=f"Run `tiercast-{token.role} join` with it, or ask for another: `{_invitation(role)}`.",
        )
    if name and name != token.name:
        raise UsageError(
            code="token.name",
            what=f'The token is for the node "{token.name}", not for "{name}".',
            todo="Leave the name out, or ask for a token for this name.",
        )
    if token.expires <= now_ms:
        minutes = (now_ms - token.expires) // 60_000
        raise UsageError(
            code="token.expired",
            what=f"The token's time ended {minutes} minutes ago by this machine's clock.",
            todo=f"Ask the region's administrator for a new one (`tiercast node invite {token.name}`), and look whether"
            " the clock is right.",
        )
    return token


def _invitation(role: str) -> str:
    return "tiercast node invite NAME" + (" --gateway" if role == "gateway" else "")


def _checked(reply: EnrolReply, token: Token, key: PrivateKey, password: str) -> Enrolled:
    """The answer, proved to be the region's and about us."""
    try:
        found = open_credential(reply.credential, reply.signature, token.region_key)
    except (SignatureInvalid, MessageInvalid) as error:
        raise _not_genuine(token) from error
    said = (found.region, found.name, found.role, found.parent, found.public_key)
    if said != (token.region, token.name, token.role, token.parent, key.public):
        raise _not_genuine(token)
    return enrolled_of(found, token.url, password, key, token.region_key, reply.credential, reply.signature)


def _not_genuine(token: Token) -> UsageError:
    return UsageError(
        code="enrol.forged",
        what="The answer to the join is not signed by the region that made the token.",
        where=token.url,
        todo="Somebody else answers at that address: ask the administrator where the token's broker should be.",
    )


def _refused(reply: EnrolReply, token: Token) -> UsageError:
    return UsageError(
        code=reply.code or "enrol.refused",
        what=f'The region refused "{token.name}": {reply.reason or "no reason was given"}.',
        where=token.url,
        todo=f"Ask the region's administrator for a new token (`tiercast node invite {token.name}`).",
    )


# -- asking ----------------------------------------------------------------------------------------------


class _Asking:
    """One request, asked until it is answered or the time is over."""

    def __init__(self, token: Token, request: EnrolRequest, tls: TlsFiles) -> None:
        self._token = token
        self._request = request
        self._tls, self._files = tls.context(token.url), tls
        self._me = join_user(token.token_id)
        self._topics = Topics(token.region)
        self._asked = False
        self._problem: Exception | None = None

    async def answer(self, deadline_s: float) -> EnrolReply:
        try:
            async with asyncio.timeout(deadline_s):
                while True:
                    try:
                        return await self._once()
                    except (aiomqtt.MqttError, OSError) as error:
                        check_trust(error, self._token.url)
                        # A token that was just made may be on its way to the parent: a refusal is tried again as well.
                        self._problem = error
                        log.debug("parent not reached", url=self._token.url, error=str(error))
                        await asyncio.sleep(_RETRY_S)
        except TimeoutError as error:
            raise self._why(deadline_s) from (self._problem or error)

    async def _once(self) -> EnrolReply:
        address = parse_address(self._token.url)
        if self._tls is not None:  # aiomqtt does not say what was wrong with a certificate
            await connect_once(self._token.url, (self._me, join_password(self._token.secret)), 5.0, self._files)
        async with aiomqtt.Client(
            address.path or address.host or "",
            address.port or 1883,
            username=self._me,
            password=join_password(self._token.secret),
            identifier=self._me,
            clean_session=True,
            transport="unix" if address.path else "tcp",
            timeout=5.0,
            tls_context=self._tls,
            logger=_silent,
        ) as client:
            self._problem = None
            await client.subscribe(self._topics.down(self._token.parent, self._me), qos=1)
            # One envelope id per connection: the parent acts once, however often it hears it.
            request = seal(wrap(KIND_OF[EnrolRequest], self._request, sender=self._me, cause=self._token.token_id))
            messages = aiter(client.messages)
            while True:
                await client.publish(self._topics.up(self._me), request, qos=1)
                self._asked = True
                with suppress(TimeoutError):
                    async with asyncio.timeout(_AGAIN_S):
                        return await self._reply(client, messages)

    async def _reply(self, client: aiomqtt.Client, messages: AsyncIterator[aiomqtt.Message]) -> EnrolReply:
        async for message in messages:
            if isinstance(message.payload, bytes) and (found := self._reply_in(message.payload)) is not None:
                envelope, reply = found
                ack = wrap(KIND_OF[Ack], Ack(ids=[envelope.id]), sender=self._me)
                await client.publish(self._topics.up(self._me), seal(ack), qos=1)
                return reply
        raise aiomqtt.MqttError("the connection ended")

    def _reply_in(self, payload: bytes) -> tuple[Envelope, EnrolReply] | None:
        try:
            envelope = open_(payload)
            if envelope.kind != KIND_OF[EnrolReply]:
                return None
            reply = body_of(envelope, EnrolReply)
        except MessageInvalid as error:
            log.warning("message invalid", reason=error.reason)
            return None
        return (envelope, reply) if reply.token_id == self._token.token_id else None

    def _why(self, deadline_s: float) -> UsageError:
        token = self._token
        if self._problem is not None and refused_login(self._problem):
            return UsageError(
                code="token.refused",
                what="The parent's broker does not take this token: it was used, it was replaced, or its time is over.",
                where=token.url,
                todo=f"Ask the region's administrator for a new one (`tiercast node invite {token.name}`).",
            )
        if self._asked:
            return UsageError(
                code="enrol.unanswered",
                what=f'The parent "{token.parent}" was reached, but the region did not answer in {deadline_s:.0f} s.',
                where=token.url,
                todo="Look whether the server runs and its gateways are connected, then run the same command again.",
            )
        return UsageError(
            code="parent.unreachable",
            what=f'The broker of "{token.parent}" can\'t be reached: {self._problem or "no answer"}.',
            where=token.url,
            todo=what_to_look_at(token.url, self._files),
        )


# -- files -----------------------------------------------------------------------------------------------


def _secrets_in(folder: Path) -> tuple[PrivateKey, str]:
    """Key and password of this node, made at the first try and found again at the next."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if (folder / ENROLLED_FILE).exists():
            raise UsageError(
                code="node.joined",
                what="This node has joined already.",
                where=str(folder),
                todo="Start it with `run`; to make it another node, give another folder with --state.",
            )
        if not (folder / KEY_FILE).exists():
            PrivateKey.generate().save(folder / KEY_FILE)
        if not (folder / PASSWORD_FILE).exists():
            write_private(folder / PASSWORD_FILE, secrets.token_urlsafe(32) + "\n")
        return PrivateKey.load(folder / KEY_FILE), (folder / PASSWORD_FILE).read_text("ascii").strip()
    except OSError as error:
        todo = "Run as the user that is to own it, or name another folder with --state."
        raise StateError(str(folder), f"it can't be used: {error.strerror}", todo) from error
