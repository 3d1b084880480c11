"""Asking a possible parent for a place, and measuring the way to it (docs/protocol.md, section 12).

Rules
- One short connection of its own, beside whatever this node has: it leaves nothing at that broker.
- The answer carries bytes that tell nothing; how long they took, without the time of connecting, is the rate.
- Where the address is a human's word, whoever answers proves by the region's key that it is that parent.
- Whatever goes wrong is a sentence, for the human who asks why the node did not go there.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import aiomqtt

from tiercast_protocol.content.trust.proving import check_parent
from tiercast_protocol.errors import MessageInvalid, ProtocolError, TiercastError
from tiercast_protocol.node.address import TlsFiles, parse_address
from tiercast_protocol.node.hop import Parent
from tiercast_protocol.node.link import Login
from tiercast_protocol.wire.envelope import open_, seal, wrap
from tiercast_protocol.wire.messages import KIND_OF, body_of
from tiercast_protocol.wire.moving import GuestAnswered, GuestAsked
from tiercast_protocol.wire.topics import Topics

_silent = logging.getLogger("tiercast.asking")
_silent.setLevel(logging.CRITICAL)
_silent.propagate = False

#: Bytes to be measured, and seconds for connecting and the answer.
SIZE = 32 << 10
DEADLINE = 5.0


@dataclass(frozen=True, slots=True)
class Said:
    """What came of it: `rate` in bytes per second (0: not measured), `wait` in seconds.

    `heard`: somebody answered; `proved`: it is the parent that was asked for, which was to prove it.
    """

    granted: bool
    rate: float = 0.0
    wait: float = 0.0
    reason: str = ""
    heard: bool = False
    proved: bool = False


async def ask_for_place(
    parent: Parent,
    *,
    me: str,
    region: str,
    login: Login,
    enter: bool,
    tls: TlsFiles,
    deadline: float = DEADLINE,
    region_key: bytes = b"",
) -> Said:
    """Ask `parent`; never raises for what the other side, the network or the settings do.

    Args:
        parent: whom.
        me: this node's name.
        region: the region's name.
        login: user and password, the same at every broker of the region.
        enter: take the place; else it is only measured.
        tls: what to trust, where the broker is at mqtts://.
        deadline: seconds for all of it.
        region_key: the region's public key, by which the parent is to prove itself; b"" asks for no proof.
    """
    check = partial(check_parent, region=region, parent=parent.name, node=me, region_key=region_key)
    try:
        async with asyncio.timeout(deadline):
            return await _ask(parent, me, Topics(region), login, tls, enter=enter, check=check if region_key else None)
    except TimeoutError:
        return Said(granted=False, reason=f"no answer within {deadline:.0f} s")
    except (aiomqtt.MqttError, TiercastError, OSError, ValueError) as error:
        return Said(granted=False, reason=str(error)[:200] or type(error).__name__)


async def _ask(
    parent: Parent,
    me: str,
    topics: Topics,
    login: Login,
    tls: TlsFiles,
    *,
    enter: bool,
    check: Callable[..., None] | None,
) -> Said:
    address = parse_address(parent.url)
    async with aiomqtt.Client(
        address.path or address.host or "",
        address.port or 1883,
        username=login[0],
        password=login[1],
        identifier=f"{me}:ask",
        clean_session=True,
        transport="unix" if address.path else "tcp",
        timeout=DEADLINE,
        tls_context=tls.context(parent.url),
        logger=_silent,
    ) as client:
        await client.subscribe(topics.down(parent.name, me), qos=1)
        nonce, begun = os.urandom(16), time.monotonic()
        asked = GuestAsked(nonce=nonce, enter=enter, size=0 if enter else SIZE, prove=check is not None)
        await client.publish(topics.up(me), seal(wrap(KIND_OF[GuestAsked], asked, sender=me)), qos=1)
        async for message in client.messages:
            answer = _answer_in(message.payload, nonce)
            if answer is not None:
                rate = len(answer.filler) / max(time.monotonic() - begun, 1e-6)
                said = Said(answer.granted, rate, float(answer.wait), answer.reason[:200], heard=True)
                return said if check is None else _proved(said, answer, partial(check, nonce=nonce))
    raise aiomqtt.MqttError("the connection ended")


def _proved(said: Said, answer: GuestAnswered, check: Callable[..., None]) -> Said:
    """`said`, when its sender proves itself; else what is wrong with it."""
    if not answer.proof.signature:
        return Said(granted=False, reason="it gave no proof of who it is: its version may be too old", heard=True)
    try:
        check(answer.proof)
    except ProtocolError as error:
        return Said(granted=False, reason=str(error)[:200], heard=True)
    return replace(said, proved=True)


def _answer_in(payload: object, nonce: bytes) -> GuestAnswered | None:
    try:
        envelope = open_(payload if isinstance(payload, bytes) else b"")
        if envelope.kind != KIND_OF[GuestAnswered]:
            return None
        answer = body_of(envelope, GuestAnswered)
    except MessageInvalid:
        return None
    return answer if answer.nonce == nonce else None
