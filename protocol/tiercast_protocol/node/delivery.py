"""Which message is sent to which neighbour when (docs/protocol.md, section 5).  Pure.

Rules
- Per connected peer there is a window of unacknowledged messages; what does not fit stays in the outbox and is loaded
  when there is room.  A peer that is not connected costs nothing here.
- Messages are sent for the first time in the order in which they were put into the outbox.
- What is not acknowledged is sent again after 4 s, 8 s, ... 30 s, counted from the end of the sending before; all of it
  at once when the peer connects anew. Where acknowledgements usually take longer the first pause is twice as long as
  they do, where many are under way it is longer by what each may take, and no more than so many are repeated in a
  second, to all peers: who repeats to a machine that is behind puts it further behind.
- Late answers (an acknowledgement twice, a load for a lane that is gone) are normal and change nothing.
"""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass, field

#: Most messages, and most bytes (at least one message whatever its size), under way to one peer.
WINDOW = 64
WINDOW_BYTES = 4 << 20
#: A broker holds what it has taken, and a connection made anew repeats all at once: what else is lost is rare, and who
#: takes longer than a second to answer is no better for being asked twice.
FIRST_RETRY = 4.0
LAST_RETRY = 30.0
#: Messages that are repeated in a second; the others a second later.
REPEATS = 32
#: Most of the first pause, and the weight of one acknowledgement in what is usual.
SLOWEST_FIRST, WEIGHT = 15.0, 0.1
#: Seconds that one message may take to be sent, handled and acknowledged, on a machine that has much to do.
EACH = 0.03


@dataclass(frozen=True, slots=True)
class Entry:
    """A message in the outbox: its place in the order, its id, its size in bytes."""

    n: int
    id: bytes
    size: int


@dataclass(frozen=True, slots=True)
class PeerConnected:
    """The way to the peer is open (again)."""

    peer: str


@dataclass(frozen=True, slots=True)
class PeerLost:
    """The way to the peer is cut."""

    peer: str


@dataclass(frozen=True, slots=True)
class MessageStored:
    """A message for the peer is in the outbox."""

    peer: str
    entry: Entry


@dataclass(frozen=True, slots=True)
class MessagesLoaded:
    """The answer to `LoadMessages`; `more` when the outbox holds still more."""

    peer: str
    load: int
    entries: tuple[Entry, ...]
    more: bool


@dataclass(frozen=True, slots=True)
class TransmitEnded:
    """A transmission was handed over, or failed; which of the two only the acknowledgement tells."""

    peer: str
    id: bytes


@dataclass(frozen=True, slots=True)
class MessageSettled:
    """The message is acknowledged, expired or withdrawn: out of the outbox."""

    peer: str
    id: bytes


@dataclass(frozen=True, slots=True)
class TimerFired:
    """The time asked for by `WakeAt` has come; too early or twice is harmless."""


Event = PeerConnected | PeerLost | MessageStored | MessagesLoaded | TransmitEnded | MessageSettled | TimerFired


@dataclass(frozen=True, slots=True)
class TransmitMessage:
    """Send the message; answer `TransmitEnded`."""

    peer: str
    entry: Entry


@dataclass(frozen=True, slots=True)
class LoadMessages:
    """Read the next messages after `after` from the outbox; answer `MessagesLoaded`."""

    peer: str
    load: int
    after: int
    limit: int


@dataclass(frozen=True, slots=True)
class WakeAt:
    """Fire `TimerFired` at `time`; replaces all before.  Infinity is never."""

    time: float


Command = TransmitMessage | LoadMessages | WakeAt


@dataclass(slots=True)
class _Flight:
    entry: Entry
    attempt: int = 0
    due: float = math.inf
    #: When it was sent first.
    sent: float | None = None


@dataclass(slots=True)
class _Lane:
    known: int = 0
    newest: int = 0
    more: bool = True
    load: int = 0
    flights: dict[bytes, _Flight] = field(default_factory=dict)
    size: int = 0

    def has_room_for(self, size: int) -> bool:
        return not self.flights or (len(self.flights) < WINDOW and self.size + size <= WINDOW_BYTES)


class Delivery:
    """The machine.  `now` is a monotonic time in seconds."""

    def __init__(self) -> None:
        self._lanes: dict[str, _Lane] = {}
        self._loads = 0
        self._wake = math.inf
        #: Seconds that an acknowledgement takes, of all peers.
        self._usual = 0.0
        #: Messages under way to all peers together.
        self._under_way = 0
        #: When the present second of repeats began, and how many there were.
        self._second, self._repeats = -math.inf, 0
        # (due, peer, id), the next one first; entries that no flight agrees with any more are passed over.
        self._timers: list[tuple[float, str, bytes]] = []

    def in_window(self, peer: str, id_: bytes) -> bool:
        """Whether the message is under way, so that an acknowledgement of it means something."""
        lane = self._lanes.get(peer)
        return lane is not None and id_ in lane.flights

    def under_way(self, peer: str) -> int:
        """Messages that the peer has not acknowledged, of those that it was sent."""
        lane = self._lanes.get(peer)
        return len(lane.flights) if lane is not None else 0

    def handle(self, event: Event, *, now: float) -> list[Command]:
        """What to do after `event`."""
        commands: list[Command] = []
        match event:
            case PeerConnected(peer):
                # A fresh lane: all that is in the outbox is sent, in order, whatever was under way before.
                self._forget(peer)
                lane = self._lanes[peer] = _Lane()
                self._load(peer, lane, commands)
            case PeerLost(peer):
                self._forget(peer)
            case MessageStored(peer, entry):
                self._stored(peer, entry, commands)
            case MessagesLoaded():
                self._loaded(event, commands)
            case TransmitEnded(peer, id_):
                flight = self._flight(peer, id_)
                if flight is not None and math.isinf(flight.due):
                    if flight.sent is None:
                        flight.sent = now
                    first = min(max(FIRST_RETRY, 2 * self._usual, EACH * self._under_way), SLOWEST_FIRST)
                    flight.due = now + min(LAST_RETRY, first * 2.0 ** min(flight.attempt, 10))
                    heapq.heappush(self._timers, (flight.due, peer, id_))
            case MessageSettled(peer, id_):
                self._settled(peer, id_, now, commands)
            case TimerFired():
                self._retry(now, commands)
        self._ask_for_timer(commands)
        return commands

    def _flight(self, peer: str, id_: bytes) -> _Flight | None:
        lane = self._lanes.get(peer)
        return lane.flights.get(id_) if lane is not None else None

    def _forget(self, peer: str) -> None:
        lane = self._lanes.pop(peer, None)
        self._under_way -= len(lane.flights) if lane is not None else 0

    def _stored(self, peer: str, entry: Entry, commands: list[Command]) -> None:
        lane = self._lanes.get(peer)
        if lane is None or entry.n <= lane.known:
            return
        lane.newest = max(lane.newest, entry.n)
        if lane.more or lane.load or not lane.has_room_for(entry.size):
            # Something older waits in the outbox, or there is no room: it will be loaded in its turn.
            lane.more = True
            return
        self._launch(peer, lane, entry, commands)

    def _loaded(self, event: MessagesLoaded, commands: list[Command]) -> None:
        lane = self._lanes.get(event.peer)
        if lane is None or lane.load != event.load:
            return
        lane.load = 0
        stored, lane.more = lane.more, event.more  # stored while it was read: it may have seen that, or not
        full = False
        for entry in event.entries:
            if not lane.has_room_for(entry.size):
                full = lane.more = True
                break
            if entry.n > lane.known:
                self._launch(event.peer, lane, entry, commands)
        lane.more = lane.more or (stored and lane.newest > lane.known)
        if lane.more and not full and len(lane.flights) <= WINDOW // 2:
            self._load(event.peer, lane, commands)

    def _launch(self, peer: str, lane: _Lane, entry: Entry, commands: list[Command]) -> None:
        lane.known = entry.n
        if entry.id not in lane.flights:
            self._under_way += 1
        lane.flights[entry.id] = _Flight(entry)
        lane.size += entry.size
        commands.append(TransmitMessage(peer, entry))

    def _settled(self, peer: str, id_: bytes, now: float, commands: list[Command]) -> None:
        lane = self._lanes.get(peer)
        if lane is None or (flight := lane.flights.pop(id_, None)) is None:
            return
        self._under_way -= 1
        took = now - flight.sent if flight.sent is not None else 0.0
        self._usual += WEIGHT * (took - self._usual)
        lane.size -= flight.entry.size
        if lane.more and not lane.load and len(lane.flights) <= WINDOW // 2:
            self._load(peer, lane, commands)

    def _load(self, peer: str, lane: _Lane, commands: list[Command]) -> None:
        self._loads += 1
        lane.load = self._loads
        lane.more = False
        commands.append(LoadMessages(peer, lane.load, lane.known, WINDOW - len(lane.flights)))

    def _retry(self, now: float, commands: list[Command]) -> None:
        while self._timers and self._timers[0][0] <= now:
            due, peer, id_ = heapq.heappop(self._timers)
            flight = self._flight(peer, id_)
            if flight is not None and flight.due == due:
                if not self._may_repeat(now):
                    flight.due = self._second + 1.0
                    heapq.heappush(self._timers, (flight.due, peer, id_))
                    continue
                flight.due = math.inf
                flight.attempt += 1
                commands.append(TransmitMessage(peer, flight.entry))

    def _may_repeat(self, now: float) -> bool:
        if now >= self._second + 1.0:
            self._second, self._repeats = now, 0
        self._repeats += 1
        return self._repeats <= REPEATS

    def _ask_for_timer(self, commands: list[Command]) -> None:
        while self._timers:
            due, peer, id_ = self._timers[0]
            flight = self._flight(peer, id_)
            if flight is not None and flight.due == due:
                break
            heapq.heappop(self._timers)
        wake = self._timers[0][0] if self._timers else math.inf
        if wake != self._wake:
            self._wake = wake
            commands.append(WakeAt(wake))
