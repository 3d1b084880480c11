"""The broker's mind: who is let in, whose session it is, who gets what.  Pure: no socket, no clock of its own.

Rules
- Nobody touches a session before authentication and access have said yes; a session belongs to the user who made it.
- Access is asked for every message written, every message delivered (live, retained, will) and every subscription.
- Under 3.1.1 a refused PUBLISH is acknowledged like any other; it is counted and goes nowhere.
- Methods that deliver return the sessions that now have something to send; whoever owns the sockets sends it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tiercast_mqtt.acl import Acl
from tiercast_mqtt.codec import REFUSED
from tiercast_mqtt.counters import Counters
from tiercast_mqtt.errors import MalformedPacket
from tiercast_mqtt.limits import Limits
from tiercast_mqtt.message import Message
from tiercast_mqtt.packets import Connect
from tiercast_mqtt.retained import Retained
from tiercast_mqtt.session import Acknowledged, Attached, Detached, Drop, Routed, Session
from tiercast_mqtt.topics import FilterTree

BAD_ID, UNAVAILABLE, NOT_AUTHORISED = 2, 3, 5
#: Topics whose routes (and, per client, whose permission) are remembered.
_ROUTES = 4096
_MAY_WRITE = 256


@dataclass(frozen=True, slots=True)
class Admission:
    """Answer to CONNECT: the code, and with code 0 the session and whether it was there before."""

    code: int
    session: Session | None = None
    present: bool = False


class Hub:
    """All sessions, subscriptions and retained messages of one broker."""

    def __init__(self, limits: Limits, acl: Acl, *, client_id_is_username: bool = False) -> None:
        self.limits = limits
        self.acl = acl
        self.counters = Counters()
        self.retained = Retained(limits)
        self.sessions: dict[str, Session] = {}
        self._id_is_username = client_id_is_username
        self._tree: FilterTree[Session] = FilterTree()
        self._routes: dict[str, tuple[tuple[Session, int], ...]] = {}
        self._made = 0

    # -- sessions --------------------------------------------------------------------------------------

    def judge(self, connect: Connect, user: str | None) -> int:
        """Code for CONNACK to an authenticated `user`: nothing is touched."""
        if connect.client_id:
            if not self.may_use(connect.client_id, user):
                return BAD_ID
        elif not connect.clean:
            # Without an identifier there is no session to come back to (section 3.1.3.1).
            return BAD_ID
        will = connect.will
        if will is not None and not (
            self.topic_fits(will.topic)
            and not will.topic.startswith("$")
            and self.acl.allows(user, connect.client_id, "write", will.topic)
        ):
            return NOT_AUTHORISED
        return 0

    def admit(self, connect: Connect, user: str | None, *, now: float) -> Admission:
        """Let in what `judge` accepted; an older connection of the session must have been left before."""
        client_id = connect.client_id
        if not client_id:
            self._made += 1
            client_id = f"{user or 'anonymous'}:auto-{self._made}"
            if not self.may_use(client_id, user):
                return Admission(BAD_ID)
        session = self.sessions.get(client_id)
        if session is not None and (connect.clean or session.clean):
            self.forget(session)
            session = None
        present = session is not None
        if session is None:
            if not self._has_room(user):
                return Admission(UNAVAILABLE)
            session = self.sessions[client_id] = Session(client_id, user, self.limits)
        session.left_at = now
        session.handle(Attached(connect.clean))
        return Admission(0, session, present)

    def may_use(self, client_id: str, user: str | None) -> bool:
        """Whether `user` may be `client_id`: well-formed, its own where that is the rule, nobody else's session."""
        if len(client_id.encode()) > self.limits.client_id_bytes:
            return False
        if any(character in "+#" or not character.isprintable() for character in client_id):
            return False
        if self._id_is_username:
            own = user or ""
            if not own or (client_id != own and not client_id.startswith((f"{own}/", f"{own}:"))):
                return False
        session = self.sessions.get(client_id)
        return session is None or session.user == user

    def leave(self, session: Session, *, now: float) -> None:
        """The session's connection is gone."""
        session.handle(Detached())
        session.left_at = now
        if session.clean:
            self.forget(session)

    def forget(self, session: Session) -> None:
        """Forget the session and its subscriptions."""
        for filter_ in session.filters:
            self._tree.discard(filter_, session)
        session.filters.clear()
        if self.sessions.get(session.client_id) is session:
            del self.sessions[session.client_id]
        self._routes.clear()

    def expire(self, *, now: float) -> None:
        """Forget persistent sessions whose clients have been away too long."""
        oldest = now - self.limits.session_expiry_s
        for session in [one for one in self.sessions.values() if not one.attached and one.left_at < oldest]:
            self.forget(session)

    def _has_room(self, user: str | None) -> bool:
        """Whether another session fits; the one whose client left longest ago is forgotten for it."""
        own = [] if user is None else [session for session in self.sessions.values() if session.user == user]
        if len(own) >= self.limits.sessions_per_user:
            return self._forget_one(own)
        return len(self.sessions) < self.limits.sessions or self._forget_one(self.sessions.values())

    def _forget_one(self, sessions: Iterable[Session]) -> bool:
        away = [session for session in sessions if not session.attached]
        if not away:
            return False
        self.forget(min(away, key=lambda session: session.left_at))
        return True

    def set_acl(self, acl: Acl) -> None:
        """A new access policy: it holds from the next message on, delivered or written."""
        self.acl = acl
        self._routes.clear()
        for session in self.sessions.values():
            session.may_write.clear()

    # -- subscriptions ---------------------------------------------------------------------------------

    def subscribe(self, session: Session, filters: tuple[tuple[str, int], ...]) -> tuple[int, ...]:
        """Codes for SUBACK; retained messages that match wait in the session afterwards."""
        codes = []
        for filter_, wanted in filters:
            qos = min(wanted, 1)
            room = filter_ in session.filters or len(session.filters) < self.limits.filters
            if (
                not room
                or not self.topic_fits(filter_)
                or not self.acl.allows_subscription(session.user, session.client_id, filter_)
            ):
                self.counters.subscriptions_refused += 1
                codes.append(REFUSED)
                continue
            session.filters[filter_] = qos
            self._tree.add(filter_, session, qos)
            codes.append(qos)
            for message in self.retained.match(filter_):
                if self.acl.allows(session.user, session.client_id, "read", message.topic):
                    self._give(session, message, min(qos, message.qos), retained=True)
        self._routes.clear()
        return tuple(codes)

    def unsubscribe(self, session: Session, filters: tuple[str, ...]) -> None:
        """Forget these subscriptions; unknown ones are no mistake (section 3.10.4)."""
        for filter_ in filters:
            if session.filters.pop(filter_, None) is not None:
                self._tree.discard(filter_, session)
        self._routes.clear()

    # -- messages --------------------------------------------------------------------------------------

    def topic_fits(self, topic: str) -> bool:
        """Whether a topic or filter is within length and depth."""
        return topic.count("/") < self.limits.topic_levels and len(topic.encode()) <= self.limits.topic_bytes

    def may_write(self, session: Session, topic: str) -> bool:
        """Whether the session's client may publish on `topic`.  Raises MalformedPacket for one beyond the limits."""
        known = session.may_write.get(topic)
        if known is None:
            if not self.topic_fits(topic):
                raise MalformedPacket("a topic longer or deeper than is allowed here")
            # $-topics are the broker's own (section 4.7.2).
            known = not topic.startswith("$") and self.acl.allows(session.user, session.client_id, "write", topic)
            if len(session.may_write) >= _MAY_WRITE:
                session.may_write.clear()
            session.may_write[topic] = known
        return known

    def publish(self, message: Message) -> list[Session]:
        """Deliver to all who may read it; keep it when it is to be retained."""
        if message.retain and not self.retained.keep(message):
            self.counters.retained_refused += 1
        route = self._routes.get(message.topic)
        if route is None:
            route = self._find_route(message.topic)
        return [session for session, qos in route if self._give(session, message, min(message.qos, qos))]

    def acknowledge(self, session: Session, packet_id: int) -> bool:
        """PUBACK; whether there is more to send now."""
        return bool(session.handle(Acknowledged(packet_id)))

    def _find_route(self, topic: str) -> tuple[tuple[Session, int], ...]:
        route = tuple(
            (session, qos)
            for session, qos in self._tree.match(topic).items()
            if self.acl.allows(session.user, session.client_id, "read", topic)
        )
        if len(self._routes) >= _ROUTES:
            self._routes.clear()
        self._routes[topic] = route
        return route

    def _give(self, session: Session, message: Message, qos: int, *, retained: bool = False) -> bool:
        for command in session.handle(Routed(message, qos, retained)):
            if isinstance(command, Drop):
                self.counters.messages_dropped += 1
                self.counters.bytes_dropped += len(message.payload)
                return False
            return True
        return False
