"""Cuts the bytes of a connection into packets, with as few copies as there can be: none.

Rules
- A connection owns a buffer of 8 KiB.  A packet that fits is handed out as a view into it, valid only during the call.
- A larger packet gets a buffer of its exact size, header included, after its length was judged on the header; the
  kernel writes straight into it.  With `reuse` later packets get the same few buffers; without, the packet owns it.
- Who is handed a packet of a reused buffer may have it lent: `lend()` during the call, and what it returned when done.
- With `reuse`, while a large packet is coming, the kernel wakes us by the tens of KiB, not by the segment: who is woken
  less often finds more.  (Not without: a broker tells by every byte that a client lives.)
- `halt()` stops in the middle of a full buffer; `proceed()` goes on with what is already there, then reads.
- A malformed packet is reported once to `stream_broken` and nothing more is read.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import cast

from tiercast_mqtt.codec import peek
from tiercast_mqtt.errors import MalformedPacket

#: Bytes of the buffer that every connection has (64 KiB would cost 66 MiB at 1,000 connections, this costs 10).
SMALL = 8192
#: Reused buffers are multiples of this, so that packets of like size fit them; and most bytes that wait for reuse.
GRAIN = 128 * 1024
MOST_SPARE = 8 * 1024 * 1024
#: Bytes of a large packet that are worth waking for; the usual receive buffer takes several times as much: what does
#: not fit there would make the kernel clamp its window, and far links slow.
WORTH_WAKING = 32 * 1024


class PacketStream(asyncio.BufferedProtocol):
    """The receiving half of a connection; subclasses get whole packets.

    `limit` is the greatest packet taken, in bytes, header included; `opening` the type that the first packet must
    have, so that a peer that speaks something else is noticed at its first byte.
    """

    def __init__(self, *, limit: int, opening: int | None = None, reuse: bool = False) -> None:
        self.packet_limit = limit
        self.transport: asyncio.Transport | None = None
        self.bytes_received = 0
        self._opening = opening
        self._reuse = reuse
        self._small = memoryview(bytearray(SMALL))
        self._start = 0
        self._end = 0
        self._large: memoryview | None = None
        self._large_end = 0
        self._large_header = 0
        self._handed: bytearray | None = None
        self._spares: list[bytearray] = []
        self._spare_bytes = 0
        #: Of the spares: what was lent may come back while a thread reads.
        self._sparing = threading.Lock()
        self._socket: socket.socket | None = None
        self._wakes_at = 1
        self._halted = False
        self._stopped = False
        self._parsing = False

    # -- what subclasses fill in -----------------------------------------------------------------------

    def packet_arrived(self, first: int, body: memoryview, packet: memoryview, *, owned: bool) -> None:
        """A whole packet: its first byte, its body, and all of it.  `owned`: the memory is not used again.

        May raise MalformedPacket.
        """
        raise NotImplementedError

    def stream_broken(self, error: MalformedPacket) -> None:
        """The peer broke the protocol; the subclass closes."""
        raise NotImplementedError

    # -- asyncio ---------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio: the connection stands."""
        # uvloop's transports are none of asyncio's classes.
        self.transport = cast("asyncio.Transport", transport)
        plain = self._reuse and transport.get_extra_info("ssl_object") is None
        found = transport.get_extra_info("socket") if plain else None
        if found is not None and found.family in {socket.AF_INET, socket.AF_INET6}:
            with suppress(OSError):  # a descriptor of our own: the transport makes a socket of its own for every call
                self._socket = socket.fromfd(found.fileno(), found.family, socket.SOCK_STREAM)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's signature
        """asyncio: where to put what arrives next."""
        if self._large is not None:
            return self._large[self._large_end :]
        return self._small[self._end :]

    def buffer_updated(self, nbytes: int) -> None:
        """asyncio: `nbytes` were put there."""
        self.bytes_received += nbytes
        large = self._large
        if large is None:
            self._end += nbytes
            self._parse()
            return
        self._large_end += nbytes
        left = len(large) - self._large_end
        if left < self._wakes_at:
            self._wake_at(left)
        if not left:
            self._large = None
            if self._stopped:
                return
            if not self._reuse:
                self._hand_out(large, self._large_header, owned=True)
                return
            self._handed = cast("bytearray", large.obj)
            self._hand_out(large, self._large_header, owned=False)
            if self._handed is not None:
                self._take_back(self._handed)
                self._handed = None

    # -- for subclasses --------------------------------------------------------------------------------

    def lend(self) -> Callable[[], None] | None:
        """Keep the memory of the packet that is being handed out; call what this returns when it is done with.

        None: the packet lies in the connection's small buffer, and what is needed of it must be copied.
        """
        buffer, self._handed = self._handed, None
        return None if buffer is None else lambda: self._take_back(buffer)

    def halt(self) -> None:
        """Hand out nothing more, read nothing more, until `proceed`."""
        if not self._halted:
            self._halted = True
            if self.transport is not None and not self.transport.is_closing():
                self.transport.pause_reading()

    def proceed(self) -> None:
        """Go on after `halt`."""
        if self._halted:
            self._halted = False
            if not self._parsing:
                self._parse()
            if not self._halted and self.transport is not None and not self.transport.is_closing():
                self.transport.resume_reading()

    def stop(self) -> None:
        """Hand out nothing any more: the connection is being closed."""
        self._stopped = True
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    # -- inside ----------------------------------------------------------------------------------------

    def _hand_out(self, packet: memoryview, header: int, *, owned: bool) -> None:
        try:
            self.packet_arrived(packet[0], packet[header:], packet, owned=owned)
        except MalformedPacket as error:
            self._stopped = True
            self.stream_broken(error)

    def _parse(self) -> None:
        self._parsing = True
        try:
            while not (self._halted or self._stopped):
                if self._opening is not None and self._start < self._end:
                    self._check_opening(self._opening)
                sizes = peek(self._small, self._start, self._end, self.packet_limit)
                if sizes is None:
                    break
                size = sizes[0] + sizes[1]
                if size > self._end - self._start:
                    if size > SMALL:
                        self._take_large(size, sizes[0])
                    break
                start = self._start
                self._start = start + size
                self._hand_out(self._small[start : start + size], sizes[0], owned=False)
        except MalformedPacket as error:
            self._stopped = True
            self.stream_broken(error)
        finally:
            self._parsing = False
            self._compact()

    def _check_opening(self, expected: int) -> None:
        if self._small[self._start] >> 4 != expected:
            raise MalformedPacket("the first packet is not what opens an MQTT connection")
        self._opening = None

    def _take_large(self, size: int, header: int) -> None:
        large = memoryview(self._buffer_of(size) if self._reuse else bytearray(size))[:size]
        have = self._end - self._start
        large[:have] = self._small[self._start : self._end]
        self._start = self._end = 0
        self._large, self._large_end, self._large_header = large, have, header
        self._wake_at(size - have)

    def _wake_at(self, left: int) -> None:
        """Have the socket count as readable only with so much of what is left, or all of it."""
        wakes_at = max(1, min(left, WORTH_WAKING))
        if self._socket is not None and wakes_at != self._wakes_at:
            self._wakes_at = wakes_at
            with suppress(OSError):  # closed meanwhile, or a system without it: then we are woken more often
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, wakes_at)

    def _buffer_of(self, size: int) -> bytearray:
        with self._sparing:
            for n, spare in enumerate(self._spares):
                if len(spare) >= size:
                    del self._spares[n]
                    self._spare_bytes -= len(spare)
                    return spare
        return bytearray(-(-size // GRAIN) * GRAIN)

    def _take_back(self, buffer: bytearray) -> None:
        with self._sparing:
            if self._spare_bytes + len(buffer) <= MOST_SPARE:
                self._spares.append(buffer)
                self._spare_bytes += len(buffer)

    def drop_spares(self) -> int:
        """Give up buffers that wait for the next large packet, where none is expected soon; their bytes."""
        with self._sparing:
            dropped, self._spare_bytes = self._spare_bytes, 0
            self._spares.clear()
        return dropped

    def _compact(self) -> None:
        if self._stopped:
            # What a misbehaving peer still sends is read into the buffer's start and never looked at.
            self._start = self._end = 0
        elif self._start == self._end:
            self._start = self._end = 0
        elif self._start:
            rest = self._end - self._start
            self._small[:rest] = bytes(self._small[self._start : self._end])
            self._start, self._end = 0, rest
