"""A bulk client whose reading half can move into a thread: large messages are dealt with where they come in.

Rules
- Only over plain TCP: elsewhere (TLS, a UNIX socket) reading stays in the loop.  Writing always does.
- The taker is called in the thread with the payload of each message.  What it gives is `taken` while `on_message` runs,
  in the loop, in the order of arrival; where it finished with the bytes, their memory is read into again at once: it is
  still in the processor's cache, and nothing was copied or handed over.
- The loop is woken for many messages: after so many bytes, or when nothing came for a moment.
- `halt()` stops the thread before its next read, and what it read before waits; who stops waits for the thread.
"""

from __future__ import annotations

import asyncio
import select
import socket
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from tiercast_mqtt import codec
from tiercast_mqtt.bulk import BulkClient
from tiercast_mqtt.errors import MalformedPacket
from tiercast_mqtt.packets import Packet, Publish

#: Called in the thread with a payload: what the loop gets of it, and whether the bytes are not needed any more.
Taker = Callable[[memoryview], tuple[object, bool]]

#: Bytes after which the loop is told, and the milliseconds without any after which it is told of fewer.
TELL_BYTES = 2 << 20
TELL_MS = 3
#: Seconds that whoever closes waits for the thread, which may be writing to a slow disk.
_PATIENCE = 2.0
_NOTHING = memoryview(b"")


class ThreadedClient(BulkClient):
    """A `BulkClient` that reads in the loop until `read_in_thread`."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self._taken: object = None
        self._taker: Taker | None = None
        self._taking = False
        self._inbox: deque[tuple[int, Packet, object, bytearray | None]] = deque()
        self._untold = 0
        self._told = False
        self._held: bytearray | None = None
        self._going = threading.Event()
        self._over: asyncio.Future[None] | None = None
        self._thread: threading.Thread | None = None

    @property
    def taken(self) -> object:
        """Within `on_message`: what the taker made of this message; None where there was no thread."""
        return self._taken

    def read_in_thread(self, taker: Taker) -> bool:
        """From now on a thread reads, and `taker` sees each message first; False where that can't be."""
        transport = self.transport
        if self._socket is None or self._over is not None or transport is None or transport.is_closing():
            return False
        if not self._halted:
            transport.pause_reading()
            self._going.set()
        self._taker = taker
        self._over = self._loop.create_future()
        self._thread = threading.Thread(target=self._read, args=(self._socket,), name="bulk", daemon=True)
        self._thread.start()
        return True

    # -- the loop's side -------------------------------------------------------------------------------

    def lend(self) -> Callable[[], None] | None:
        """See `PacketStream.lend`."""
        if self._over is None:
            return super().lend()
        buffer, self._held = self._held, None
        return None if buffer is None else lambda: self._take_back(buffer)

    def halt(self) -> None:
        """See `PacketStream.halt`."""
        if self._over is None:
            super().halt()
            return
        self._halted = True
        self._going.clear()

    def proceed(self) -> None:
        """See `PacketStream.proceed`."""
        if self._over is None:
            super().proceed()
        elif self._halted:
            self._halted = False
            self._going.set()
            self._loop.call_soon(self._hand_on)

    def stop(self) -> None:
        """See `PacketStream.stop`."""
        if self._over is None:
            super().stop()
            return
        self._stopped = True
        self._going.set()
        if self._socket is not None:
            with suppress(OSError):  # it ended already
                self._socket.shutdown(socket.SHUT_RD)  # wakes the thread, which closes it

    async def close(self) -> None:
        """See `BulkClient.close`; the thread has ended, or is stuck in its taker."""
        await super().close()
        if self._over is not None and self._thread is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(_PATIENCE):
                    await asyncio.shield(self._over)
                self._thread.join()  # it said so with its last words

    def _ping(self) -> None:
        if self._taking:  # the broker is not silent: we are not listening
            self._heard = self._loop.time()
        super()._ping()

    def _hand_on(self) -> None:
        """Act on what the thread read."""
        self._told = False
        inbox = self._inbox
        while inbox and not (self._halted or self._stopped):
            first, packet, self._taken, self._held = inbox.popleft()
            try:
                self.act(first, packet)
            except Exception as error:  # noqa: BLE001 - as asyncio does: it ends the connection, and is its reason
                self._abort(error)
            finally:
                self._taken = None
                if self._held is not None:
                    self._take_back(self._held)
                    self._held = None

    def _ended(self, reason: Exception | None) -> None:
        """The thread is over."""
        self._hand_on()
        self._socket = None
        if self._over is not None and not self._over.done():
            self._over.set_result(None)
        if not self._gone.done() and not self._closing:
            self._abort(reason)

    # -- the thread's side -----------------------------------------------------------------------------

    def packet_arrived(self, first: int, body: memoryview, packet: memoryview, *, owned: bool) -> None:
        """A packet from the broker; in the thread, where there is one."""
        if self._over is None or self._taker is None:
            super().packet_arrived(first, body, packet, owned=owned)
            return
        arrived = codec.decode(first, body)
        if not isinstance(arrived, Publish):
            self._inbox.append((first, arrived, None, None))
            self._tell()
            return
        buffer = self._handed
        # A small one lies in the buffer that is read into next.
        payload = memoryview(bytes(arrived.payload)) if buffer is None else memoryview(arrived.payload)
        self._taking = True
        taken, finished = self._taker(payload)
        self._taking = False
        self._untold += len(payload)
        if finished:
            payload, buffer = _NOTHING, None
        else:
            self._handed = None
        arrived = Publish(arrived.topic, payload, arrived.qos, arrived.retain, arrived.dup, arrived.packet_id)
        self._inbox.append((first, arrived, taken, buffer))
        if self._untold >= TELL_BYTES:
            self._tell()

    def stream_broken(self, error: MalformedPacket) -> None:
        """The broker sent nonsense: the connection ends."""
        if self._over is None:
            super().stream_broken(error)
        else:
            raise error

    def _tell(self) -> None:
        self._untold = 0
        if self._inbox and not self._told:
            self._told = True
            self._loop.call_soon_threadsafe(self._hand_on)

    def _read(self, sock: socket.socket) -> None:
        reason: Exception | None = None
        poll = select.poll()
        poll.register(sock, select.POLLIN)
        try:
            while not self._stopped:
                if self._halted:
                    self._tell()
                    self._going.wait()
                    self._parse()
                    continue
                try:
                    size = sock.recv_into(self.get_buffer(-1))
                except BlockingIOError:
                    if self._inbox and not poll.poll(TELL_MS):
                        self._tell()
                        poll.poll()
                    elif not self._inbox:
                        poll.poll()
                    continue
                if not size:
                    break
                self.buffer_updated(size)
        except Exception as error:  # noqa: BLE001 - whatever it is ends the connection, and is its reason
            reason = error
        finally:
            sock.close()
            with suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._ended, reason)
