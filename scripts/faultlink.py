"""What a bad link does to the bytes of one direction: speed, delay, silence, and frames that don't come as sent.

Rules
- One `Way` is one direction of a link, shared by all connections over it: they take turns, and share its speed.
- MQTT packets are told apart by their fixed header alone. Only PUBLISH of QoS 0 is lost, doubled or swapped: the rest a
  broker would miss at once, and no network does that to TCP. What is not MQTT passes as it is.
- A flipped bit is one that TCP's checksum did not see: in a frame's payload, or anywhere in the stream.
- The first frame (or read) after a fault was asked for is hit for certain, those after it by chance: a story that has
  something left to send has its fault.
- Every fault is counted where it is made. Standard library only.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field, fields

#: Seconds of the link's speed that wait before it: what a router's queue holds.
QUEUE = 0.02
_PUBLISH, _KIND_AND_QOS = 0x30, 0xF6
_LONGEST_HEADER = 5


@dataclass(slots=True)
class Settings:
    """One direction. Times in seconds, `rate` in bytes per second (0 is unlimited), the rest are probabilities."""

    delay: float = 0.0
    rate: float = 0.0
    #: Nothing comes out, as if a cable were cut; nobody is told.
    hole: bool = False
    #: The same from so many delivered bytes on, as the counter has them; 0 is never.
    stop: float = 0.0
    #: Per frame: a bit of its payload flipped, the frame lost, sent twice, or sent after the next one.
    flip: float = 0.0
    lose: float = 0.0
    double: float = 0.0
    swap: float = 0.0
    #: Per read of the stream: a bit flipped anywhere.
    noise: float = 0.0

    def change(self, values: dict[str, float]) -> None:
        """Set the named ones. Raises KeyError."""
        known = {one.name for one in fields(self)}
        for key, value in values.items():
            if key not in known:
                raise KeyError(key)
            setattr(self, key, bool(value) if key == "hole" else float(value))


@dataclass(slots=True)
class Way:
    """One direction of the link."""

    name: str
    rng: random.Random
    settings: Settings = field(default_factory=Settings)
    counters: Counter[str] = field(default_factory=Counter)
    _free_at: float = 0.0
    _certain: set[str] = field(default_factory=set)

    def change(self, values: dict[str, float]) -> None:
        """Set the named ones, from the next frame on. Raises KeyError."""
        self.settings.change(values)
        self._certain = {"lost", "flipped", "swapped", "doubled", "noise"}

    @property
    def shut(self) -> bool:
        """Whether nothing comes out now."""
        stop = self.settings.stop
        return self.settings.hole or 0 < stop <= self.counters["delivered"]

    @property
    def step(self) -> int:
        """Bytes that one connection may send before the next has its turn."""
        rate = self.settings.rate
        return max(256, min(256 << 10, int(rate * QUEUE / 4))) if rate else 256 << 10

    def book(self, size: int, now: float) -> float:
        """Put `size` bytes on the link; when they come out at its other end."""
        rate = self.settings.rate
        self._free_at = max(now, self._free_at) + (size / rate if rate else 0.0)
        self.counters["bytes"] += size
        return self._free_at + self.settings.delay

    def waits(self, now: float) -> float:
        """Seconds until the link takes more; 0 when it does."""
        ahead = self._free_at - now
        return ahead - QUEUE / 2 if ahead > QUEUE else 0.0

    def strikes(self, kind: str, chance: float) -> bool:
        """Whether this fault happens now; counted if so."""
        if not chance or not (kind in self._certain or self.rng.random() < chance):
            return False
        self._certain.discard(kind)
        self.counters[kind] += 1
        return True

    def flipped(self, data: bytes, start: int = 0) -> bytes:
        """`data` with one bit from byte `start` on turned over."""
        if start >= len(data):
            return data
        changed = bytearray(data)
        changed[self.rng.randrange(start, len(data))] ^= 1 << self.rng.randrange(8)
        return bytes(changed)


class Packets:
    """Cuts one connection's stream at the borders of MQTT packets, and makes the faults of frames."""

    __slots__ = ("_head", "_held", "_late", "_left", "_plain", "_way")

    def __init__(self, way: Way) -> None:
        self._way = way
        self._head = bytearray()
        self._left = 0
        self._held: bytearray | None = None
        self._late = b""
        self._plain = False

    def feed(self, data: bytes) -> bytes:
        """What goes over the link for these bytes."""
        if self._way.strikes("noise", self._way.settings.noise):
            data = self._way.flipped(data)
        if self._plain or (self._held is None and self._left > len(data)):
            self._left -= len(data)
            return data
        out, at = bytearray(), 0
        while at < len(data):
            if not self._left:
                at = self._header(data, at, out)
                continue
            taken = data[at : at + self._left]
            at += len(taken)
            self._left -= len(taken)
            if self._held is None:
                out += taken
                continue
            self._held += taken
            if not self._left:
                whole, self._held = bytes(self._held), None
                self._frame(whole, out)
        return bytes(out)

    def _header(self, data: bytes, at: int, out: bytearray) -> int:
        """Take one byte of a fixed header; where to go on."""
        head = self._head
        head.append(data[at])
        if len(head) == 1 or data[at] & 0x80:
            if len(head) < _LONGEST_HEADER:
                return at + 1
            self._plain = True  # no MQTT
            out += head + data[at + 1 :]
            return len(data)
        self._left = sum((byte & 0x7F) << 7 * place for place, byte in enumerate(head[1:]))
        settings = self._way.settings
        faulty = settings.flip or settings.lose or settings.double or settings.swap or self._late
        if faulty and head[0] & _KIND_AND_QOS == _PUBLISH and self._left:
            self._held = bytearray(head)
        else:
            out += head
        head.clear()
        return at + 1

    def _frame(self, whole: bytes, out: bytearray) -> None:
        way, settings = self._way, self._way.settings
        way.counters["frames"] += 1
        late, self._late = self._late, b""
        if not way.strikes("lost", settings.lose):
            if way.strikes("flipped", settings.flip):
                whole = way.flipped(whole, _payload_at(whole))
            if not late and way.strikes("swapped", settings.swap):
                self._late = whole
                return
            out += whole
            if way.strikes("doubled", settings.double):
                out += whole
        out += late


def _payload_at(packet: bytes) -> int:
    """Where the payload of a whole PUBLISH of QoS 0 begins."""
    at = 1
    while packet[at] & 0x80:
        at += 1
    return at + 3 + int.from_bytes(packet[at + 1 : at + 3], "big")
