"""Both connections to one parent's broker, and what concerns this hop alone (docs/protocol.md, sections 3 and 4).

Rules
- The parent is there when both connections are.  Then `Hello` goes out; every `Hello` of the parent is answered by
  ours, so that it knows of us whoever came first; it answers only those that told it news, so this ends.
- The parent's `Hello` carries the boot of our lane there; a changed boot means that the lane is new: groups are left.
- Another parent is another hop: nothing of the old one is used again.  Away from home the broker keeps no session
  for us: whoever goes home leaves nothing there that fills a queue.
- Who goes says so: the will takes longer.
- A broker may stand while the parent behind it is dead.  Where nothing was heard for a while the parent is asked
  something; who leaves several questions without any word is away, until a word comes.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

import structlog

from tiercast_mqtt.threaded import Taker
from tiercast_protocol.errors import BrokerLost, MessageInvalid
from tiercast_protocol.node.grouptopics import GroupTopics
from tiercast_protocol.node.link import BulkLink, ControlLink, Login
from tiercast_protocol.wire.envelope import MAX_HOPS, Envelope, open_, seal, wrap
from tiercast_protocol.wire.messages import KIND_OF, Absent, Gone, GroupJoin, GroupLeave, Hello, Message, body_of
from tiercast_protocol.wire.moving import GuestAnswered, GuestAsked
from tiercast_protocol.wire.topics import Topics

log = structlog.get_logger(__name__)

#: How long the last word may take when we stop.
_LEAVE_SECONDS = 1.0
#: After so long without a word the parent is asked for one; so many questions in vain, and it is away.
PULSE_SECONDS = 15.0
MOST_MISSED = 2


@dataclass(frozen=True, slots=True)
class Parent:
    """A parent: its name, and the address of its broker."""

    name: str
    url: str


@dataclass(frozen=True, slots=True)
class Caller:
    """Who connects.

    Attributes:
        me: this node's name; also the name that it logs in with and its client id.
        region: the region's name.
        login: user and password at the broker.
        boot: of this process, said in `Hello` and in the will.
        hello: gives the present `Hello`.
        taker: sees each bulk frame first, in the thread that reads; None has the loop read.
    """

    me: str
    region: str
    login: Login | None
    boot: bytes
    hello: Callable[[], Hello]
    taker: Taker | None = None


class Listener(Protocol):
    """Who is told what comes down."""

    async def hop_up(self, hop: Hop) -> None:
        """Both connections are up."""
        ...

    async def hop_down(self, hop: Hop) -> None:
        """One of them is lost."""
        ...

    def path_changed(self) -> None:
        """The parent's way to the server is another."""
        ...

    async def hop_refused(self, hop: Hop, reason: str, wait: float) -> None:
        """The parent has no place for us; it may be asked again in `wait` seconds."""
        ...

    def lane_renewed(self) -> None:
        """The parent has a new lane for us: it knows nothing of what we want."""
        ...

    def chunks_absent(self, digests: tuple[bytes, ...], reason: str) -> None:
        """No tier above holds these."""
        ...

    async def message_arrived(self, hop: Hop, payload: bytes) -> None:
        """A control message that is not about this hop alone."""
        ...

    def frame_arrived(self, view: memoryview) -> None:
        """A bulk frame; `view` is valid during the call."""
        ...


class Hop:
    """The way to one parent.

    Args:
        parent: whose broker that is.
        caller: who connects.
        listener: is told what comes.
        tls: for a broker at mqtts://; None is the system's authorities.
        clean: the broker keeps nothing for us while we are away.
    """

    def __init__(
        self,
        parent: Parent,
        caller: Caller,
        listener: Listener,
        *,
        tls: ssl.SSLContext | None = None,
        clean: bool = False,
    ) -> None:
        self.parent = parent
        self.connected = False
        #: The names from the server down to the parent, as it said; nothing while it is cut off.
        self.path: tuple[str, ...] = ()
        self._caller, self._listener = caller, listener
        self._topics = topics = Topics(caller.region)
        self._leaving = self._heard = self._silent = False
        me = caller.me
        self._gone = seal(wrap(KIND_OF[Gone], Gone(boot=caller.boot), sender=me))
        self.control = ControlLink(
            parent.url,
            client_id=me,
            login=caller.login,
            will=(topics.will(me), self._gone),
            subscriptions=(topics.down(parent.name, me),),
            on_message=self._control_arrived,
            on_up=self._link_up,
            on_down=self._link_lost,
            tls=tls,
            clean=clean,
        )
        self.bulk = BulkLink(
            parent.url,
            client_id=f"{me}:bulk",
            login=caller.login,
            subscriptions=(topics.bulk(parent.name, me),),
            on_message=self._frame_arrived,
            on_up=self._link_up,
            on_down=self._link_lost,
            tls=tls,
            taker=caller.taker,
        )
        self.groups = GroupTopics(
            lambda group: self.bulk.subscribe(topics.group(parent.name, group)),
            lambda group: self.bulk.unsubscribe(topics.group(parent.name, group)),
            self.say,
        )

    async def run(self) -> None:
        """Keep both connections up, until cancelled; then say that we go."""
        async with asyncio.TaskGroup() as tasks:
            running = [
                tasks.create_task(part)
                for part in (self.control.run(), self.bulk.run(), self.groups.run(), self._watch())
            ]
            try:
                await asyncio.Event().wait()
            finally:
                await self.leave()
                for task in running:
                    task.cancel()

    async def _watch(self) -> None:
        """Notice a parent that is dead behind a living broker."""
        missed = 0
        while True:
            await asyncio.sleep(PULSE_SECONDS)
            if self._heard or not self.control.connected:
                self._heard, missed = False, 0
                continue
            missed += 1
            if missed > MOST_MISSED and self.connected:
                log.warning("parent.silent", parent=self.parent.name, seconds=missed * PULSE_SECONDS)
                self._silent = True
                await self._link_down()
            await self.say(GuestAsked(nonce=self._caller.boot))

    def end(self) -> None:
        """From now on nothing is said, and what comes is not listened to."""
        self._leaving = True

    async def leave(self) -> None:
        """Say that we go; nothing is said after it."""
        self.end()
        if self.control.connected:
            with suppress(TimeoutError, BrokerLost):
                async with asyncio.timeout(_LEAVE_SECONDS):
                    await self.control.publish(self._topics.will(self._caller.me), self._gone)

    async def transmit(self, payload: bytes) -> None:
        """Publish one sealed envelope to the parent.

        Raises:
            BrokerLost: the control connection is down, or we have said that we go: any word after it would say that
                we are there.
        """
        if self._leaving:
            raise BrokerLost(self.control.url, "this node is stopping")
        await self.control.publish(self._topics.up(self._caller.me), payload)

    async def say(self, message: Message) -> None:
        """Publish a message that is worthless a moment later; a lost connection loses it."""
        with suppress(BrokerLost):
            await self.transmit(seal(wrap(KIND_OF[type(message)], message, sender=self._caller.me)))

    async def report(self, payload: bytes) -> None:
        """Publish a transfer report; a lost connection loses it."""
        with suppress(BrokerLost):
            await self.bulk.publish(self._topics.report(self._caller.me), payload)

    def traffic(self) -> dict[str, int]:
        """Bytes of both present connections as the kernel counts them."""
        totals = {"sent": 0, "received": 0}
        for info in (self.control.tcp_info(), self.bulk.tcp_info()):
            if info is not None:
                totals["sent"] += info.sent
                totals["received"] += info.received
        return totals

    async def _link_up(self) -> None:
        if self.connected or self._silent or not (self.control.connected and self.bulk.connected):
            return
        self.connected = True
        log.info("parent.connected", parent=self.parent.name)
        await self._greet()
        await self._listener.hop_up(self)

    async def _link_lost(self) -> None:
        self._silent = False  # the next connection shows
        await self._link_down()

    async def _link_down(self) -> None:
        if not self.connected:
            return
        self.connected = False
        log.info("parent.lost", parent=self.parent.name)
        await self._listener.hop_down(self)

    def _frame_arrived(self, topic: str, view: memoryview) -> None:
        del topic
        self._heard = True
        if not self._leaving:  # its marks and counts are of a parent that is none any more
            self._listener.frame_arrived(view)

    async def _greet(self) -> None:
        if not self._leaving:  # a greeting after the farewell would leave us there for ever
            await self.say(self._caller.hello())

    async def _control_arrived(self, topic: str, payload: bytes) -> None:
        del topic
        self._heard = True
        if self._silent:
            self._silent = False
            await self._link_up()
        try:
            envelope = open_(payload)
            if envelope.to in {"", self._caller.me} and await self._ours(envelope):
                return
        except MessageInvalid as error:
            log.warning("message.invalid", peer=self.parent.name, kind=error.kind, reason=error.reason)
            return
        await self._listener.message_arrived(self, payload)

    async def _ours(self, envelope: Envelope) -> bool:
        """Act on the kinds that concern this hop alone; False for all others."""
        match envelope.kind:
            case "hello.v1":
                await self._greeted(body_of(envelope, Hello))
            case "group.join.v1":
                self.groups.move(body_of(envelope, GroupJoin))
            case "group.leave.v1":
                self.groups.move(body_of(envelope, GroupLeave))
            case "absent.v1":
                body = body_of(envelope, Absent)
                digests = tuple(body.digests[at : at + 32] for at in range(0, len(body.digests) - 31, 32))
                self._listener.chunks_absent(digests, body.reason)
            case "guest.answer.v1":
                await self._refused(body_of(envelope, GuestAnswered))
            case _:
                return False
        return True

    async def _refused(self, answer: GuestAnswered) -> None:
        if answer.nonce or answer.granted:
            return  # of a question that somebody else asked for us
        log.warning("parent.refuses", parent=self.parent.name, reason=answer.reason, again_s=answer.wait)
        self.connected = False
        await self._listener.hop_refused(self, answer.reason[:200], float(answer.wait))

    async def _greeted(self, hello: Hello) -> None:
        if self.connected:
            await self._greet()
        path = tuple(hello.path[:MAX_HOPS])
        if path != self.path:
            self.path = path
            self._listener.path_changed()
        if hello.boot == self.groups.epoch:
            return
        self.groups.new_lane(hello.boot)
        if self.connected:
            self._listener.lane_renewed()
