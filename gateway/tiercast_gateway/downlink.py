"""This node's two connections to its own broker, and who is heard over them.

Rules (docs/protocol.md, sections 3 and 4)
- Who speaks, the topic says: the broker lets a node write only under its own name.  A name that is not in
  the list of users is not listened to, and one that is about to join only as to that.
- When both connections are up, `Hello` goes to every child, with the name of its lane; a child that is there answers
  with its own.  A child's `Hello` that is news is answered, so each side knows of the other whoever came first.
- When either is cut, nobody is known to be there and every lane is lost.
- Handlers of control messages never wait for the transfer, nor the transfer for them.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from tiercast_protocol import __version__
from tiercast_protocol.errors import BrokerLost, MessageInvalid
from tiercast_protocol.node.link import BulkLink, ControlLink
from tiercast_protocol.wire.envelope import open_, seal, wrap
from tiercast_protocol.wire.messages import KIND_OF, Gone, GroupJoined, Hello, Message, body_of
from tiercast_protocol.wire.moving import GuestAsked
from tiercast_protocol.wire.topics import JOIN_PREFIX, Topics

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tiercast_gateway.children.children import Children
    from tiercast_gateway.children.enrolment import Enrolment
    from tiercast_gateway.children.lastseen import LastSeen
    from tiercast_gateway.children.lodging import Lodging
    from tiercast_gateway.streams import Streams
    from tiercast_protocol.node.brokers import Broker
    from tiercast_protocol.node.post import Post
    from tiercast_protocol.wire.envelope import Envelope

log = structlog.get_logger(__name__)

#: All that a node says before it is one.
JOINING = frozenset({"enrol.request.v1", "ack.v1"})


class Downlink:
    """The way to the children.

    Args:
        me: this node's name; `role` is said in `Hello`.
        topics: of the region.
        broker: this node's own.
        children: presence, kept here.
        enrolment: who may speak.
        seen: remembers when children came and went.
        lodging: which guests are heard.
        path: the names from the server down to this node, said in `Hello`; nothing while it is cut off.
    """

    def __init__(
        self,
        *,
        me: str,
        role: str,
        topics: Topics,
        broker: Broker,
        children: Children,
        enrolment: Enrolment,
        seen: LastSeen,
        lodging: Lodging,
        path: Callable[[], Sequence[str]],
    ) -> None:
        self.strangers = 0
        self.ready = asyncio.Event()
        self._me, self._role, self._topics = me, role, topics
        self._children, self._enrolment, self._seen = children, enrolment, seen
        self._lodging, self._path, self._path_news = lodging, path, asyncio.Event()
        self._post: Post | None = None
        self._streams: Streams | None = None
        tls = broker.tls.context(broker.url)
        self._control = ControlLink(
            broker.url,
            client_id=me,
            login=broker.owner_login,
            subscriptions=topics.parent_filters(),
            on_message=self._arrived,
            on_up=self._link_up,
            on_down=self._link_down,
            tls=tls,
        )
        self._bulk = BulkLink(
            broker.url,
            client_id=f"{me}:bulk",
            login=broker.owner_login,
            subscriptions=(topics.report_filter(),),
            on_message=self._report_arrived,
            on_up=self._link_up,
            on_down=self._link_down,
            tls=tls,
        )

    def connect(self, post: Post, streams: Streams) -> None:
        """Hand what is heard to these."""
        self._post, self._streams = post, streams
        streams.connect(self._bulk)

    async def run(self) -> None:
        """Keep both connections, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._control.run())
            tasks.create_task(self._bulk.run())
            tasks.create_task(self._tell_path())

    async def transmit(self, child: str, payload: bytes) -> None:
        """Publish one sealed envelope to a child; raises `BrokerLost`."""
        await self._control.publish(self._topics.down(self._me, child), payload)

    async def say(self, child: str, message: Message) -> None:
        """Publish a message that is worthless a moment later; a lost connection loses it."""
        try:
            await self.transmit(child, seal(wrap(KIND_OF[type(message)], message, sender=self._me, to=child)))
        except BrokerLost:
            return

    async def child_left(self, child: str) -> None:
        """The node is no child of ours any more."""
        self._lose(child)
        self._children.remove(child)
        await self._seen.forget(child)
        await self._posted.forget(child)

    @property
    def _posted(self) -> Post:
        if self._post is None:
            raise RuntimeError("connect() was not called")
        return self._post

    # -- connections -----------------------------------------------------------------------------------

    async def _link_up(self) -> None:
        if self.ready.is_set() or not (self._control.connected and self._bulk.connected):
            return
        self.ready.set()
        for user in self._enrolment.children():
            await self._greet(user.name)

    async def _link_down(self) -> None:
        self.ready.clear()
        lost = self._children.all_gone()
        for child in lost:
            self._lose(child)
        await self._seen.note(lost)

    async def _greet(self, child: str) -> None:
        lane = self._children.get(child).lane
        await self.say(child, Hello(boot=lane, role=self._role, software=__version__, path=list(self._path())))

    def path_changed(self) -> None:
        """The way up is another: who is below learns of it."""
        self._path_news.set()

    async def _tell_path(self) -> None:
        while True:
            await self._path_news.wait()
            self._path_news.clear()
            for child in [one.name for one in self._children.all() if one.online]:
                await self._greet(child)

    def _lose(self, child: str) -> None:
        self._lodging.went(child)
        self._posted.peer_down(child)
        if self._streams is not None:
            self._streams.child_lost(child)

    # -- what children say -----------------------------------------------------------------------------

    def _report_arrived(self, topic: str, payload: memoryview) -> None:
        child = self._topics.sender_of(topic)
        if child is None or not self._lodging.admits(child) or child.startswith(JOIN_PREFIX):
            self.strangers += 1
        elif self._streams is not None:
            self._streams.report_arrived(child, payload)

    async def _arrived(self, topic: str, payload: bytes) -> None:
        child = self._topics.sender_of(topic)
        if child is None or not self._enrolment.known(child):
            self.strangers += 1
            log.warning("stranger.heard", topic=topic)
            return
        try:
            envelope = open_(payload)
            if await self._of_this_hop(child, envelope):
                return
        except MessageInvalid as error:
            log.warning("message.invalid", peer=child, kind=error.kind, reason=error.reason)
            return
        await self._posted.received(child, payload)

    async def _of_this_hop(self, child: str, envelope: Envelope) -> bool:
        """Act on what concerns this hop alone, and on whoever may not speak; False for all that is for the outbox."""
        if child.startswith(JOIN_PREFIX) and envelope.kind not in JOINING:
            self.strangers += 1
            log.warning("stranger.heard", peer=child, kind=envelope.kind)
            return True
        if envelope.kind == "guest.ask.v1":
            await self.say(child, await self._lodging.answer(child, body_of(envelope, GuestAsked)))
            return True
        if not self._lodging.admits(child) and not await self._let_in(child, envelope.kind):
            return True
        return await self._of_presence(child, envelope)

    async def _of_presence(self, child: str, envelope: Envelope) -> bool:
        """A child that is heard: `Hello`, its will, and what any word of it tells."""
        if envelope.kind == "gone.v1":
            if self._children.gone(child, body_of(envelope, Gone).boot):
                log.info("child.gone", child=child)
                self._lose(child)
                await self._seen.note([child])
            return True
        if envelope.kind == "hello.v1":
            await self._greeted(child, body_of(envelope, Hello))
            return True
        if self._children.heard(child):
            self._posted.peer_up(child)
            await self._seen.note([child])
        if envelope.kind == "group.joined.v1":
            joined = body_of(envelope, GroupJoined)
            if self._streams is not None:
                self._streams.group_joined(child, joined.group, joined.epoch)
            return True
        return False

    async def _let_in(self, child: str, kind: str) -> bool:
        """A guest without a place said something: its `Hello` asks for one, all else is not heard."""
        if kind != "hello.v1":
            return False
        answer = await self._lodging.answer(child, GuestAsked(nonce=b"", enter=True))
        if not answer.granted:
            await self.say(child, answer)
        return answer.granted

    async def _greeted(self, child: str, hello: Hello) -> None:
        self._lodging.came(child)
        news, restarted = self._children.hello(child, hello)
        if restarted:
            self._lose(child)
        if not news:
            return
        log.info("child.arrived", child=child, role=hello.role)
        await self._greet(child)
        self._posted.peer_up(child)
        await self._seen.note([child])
        await self._enrolment.arrived(child)
