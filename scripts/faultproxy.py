"""A TCP proxy that behaves as a bad link does: slow, far, cut, silent, flipping bits; it is told what to do as it runs.

`python faultproxy.py --to HOST:PORT [--listen HOST:PORT]` prints {"port": N} and then answers each JSON line on its
standard input with its counters; it ends with its standard input. `FaultyLink` starts and steers one from a program.

Rules
- "down" is what comes from the target (the parent's broker), "up" what goes to it. See `faultlink.Settings`.
- A cut loses what is on the way, as a broken link does: {"reset": true} now, {"every": [5, "reset", 0.5]} every 5 s
  with half a second in which whoever connects is reset too, {"every": [1, "hole", 0.5]} for silence instead;
  {"every": null} ends it.
- The delay line is the only store: sockets get small buffers where the speed is limited, and nobody is read from while
  the link is full or its other end does not read.
- Standard library only.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import socket
import struct
import subprocess
import sys
from collections import Counter, deque
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Self, cast

from faultlink import Packets, Settings, Way

#: Bytes that may lie in one connection's delay line beyond what the link's speed and delay put there.
_MOST_LYING = 4 << 20
_SMALL_BUFFER = 64 << 10
#: Whole seconds to linger, on: a close is a reset.
_RESET = struct.pack("ii", 1, 0)


class Pipe(asyncio.BufferedProtocol):
    """One direction of one connection: reads its own socket, writes its peer's."""

    def __init__(self, way: Way, proxy: Proxy) -> None:
        self.way, self._proxy = way, proxy
        self.peer: Pipe | None = None
        self.transport: asyncio.Transport | None = None
        self._buffer = memoryview(bytearray(256 << 10))
        self._packets = Packets(way)
        self._line: deque[tuple[float, bytes]] = deque()
        self._lying = 0
        self._reading, self._choked, self._ended = True, False, False
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        self._not_before = 0.0

    # -- reading ---------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is there; it is read from once its peer is."""
        self.transport = cast("asyncio.Transport", transport)
        self.transport.set_write_buffer_limits(high=_SMALL_BUFFER)
        if self.peer is None or self.peer.transport is None:
            self._pause()

    def start(self, not_before: float) -> None:
        """Both ends are there."""
        self._not_before = not_before
        self.work()

    def get_buffer(self, sizehint: int) -> memoryview:
        """No more than this connection's turn."""
        del sizehint
        return self._buffer[: self.way.step]

    def buffer_updated(self, nbytes: int) -> None:
        """Put what came on the link."""
        now = self._loop.time()
        if part := self._packets.feed(bytes(self._buffer[:nbytes])):
            self._line.append((max(self.way.book(len(part), now), self._not_before), part))
            self._lying += len(part)
        self.work()

    def eof_received(self) -> bool:
        """The end travels as bytes do."""
        self._ended = True
        self.work()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """This socket is gone: the other goes after what lies in the line, and what was for us goes nowhere."""
        self.transport = None
        self._ended = True
        if exc is not None:
            self._clear()
        self._proxy.pipes.discard(self)
        if self.peer is not None:
            self.peer._clear()  # noqa: SLF001 - its other half
        self.work()

    # -- working ---------------------------------------------------------------------------------------

    def work(self) -> None:
        """Deliver what is due, and read or not."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        now, out = self._loop.time(), self.peer.transport if self.peer is not None else None
        wake = float("inf")
        while self._line and out is not None and not self._choked and not self.way.shut:
            due, data = self._line[0]
            if due > now + 0.0005:
                wake = due
                break
            self._line.popleft()
            self._lying -= len(data)
            out.write(data)
            self.way.counters["delivered"] += len(data)
        hole = self.way.shut
        if self._ended and not self._line and not hole and out is not None:
            out.close()
            return
        waits = self.way.waits(now)
        most = _MOST_LYING + 2 * self.way.settings.rate * self.way.settings.delay
        if hole or waits or self._lying > most:
            self._pause()
        elif not self._reading and self.transport is not None and out is not None:
            self._reading = True
            self.transport.resume_reading()
        if waits and not hole:
            wake = min(wake, now + waits)
        if wake < float("inf"):
            self._timer = self._loop.call_at(wake, self.work)

    def _pause(self) -> None:
        if self._reading and self.transport is not None:
            self._reading = False
            self.transport.pause_reading()

    def pause_writing(self) -> None:
        """The other pipe writes to our socket, and whoever is there does not read."""
        if self.peer is not None:
            self.peer._choked = True  # noqa: SLF001 - its other half

    def resume_writing(self) -> None:
        """It reads again."""
        if self.peer is not None:
            self.peer._choked = False  # noqa: SLF001 - its other half
            self.peer.work()

    def _clear(self) -> None:
        self._line.clear()
        self._lying = 0

    def reset(self) -> None:
        """RST, now."""
        self._clear()
        if self.transport is not None:
            sock = self.transport.get_extra_info("socket")
            with suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self.transport.abort()


class Proxy:
    """All connections to one target."""

    def __init__(self, host: str, port: int, seed: int) -> None:
        rng = random.Random(seed)
        self.down, self.up = Way("down", rng), Way("up", rng)
        self.pipes: set[Pipe] = set()
        self.counters: Counter[str] = Counter()
        self._target = host, port
        self._resetting = False
        self._every: asyncio.Task[None] | None = None

    async def listen(self, host: str, port: int, tasks: asyncio.TaskGroup) -> int:
        """Accept until the group ends; the port."""
        listener = socket.create_server((host, port), backlog=256)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SMALL_BUFFER * 4)
        listener.setblocking(False)
        tasks.create_task(self._accept(listener, tasks))
        return int(listener.getsockname()[1])

    async def _accept(self, listener: socket.socket, tasks: asyncio.TaskGroup) -> None:
        loop = asyncio.get_running_loop()
        with listener:
            while True:
                sock, _ = await loop.sock_accept(listener)
                self.counters["connections"] += 1
                if self._resetting:
                    self.counters["refused"] += 1
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                    sock.close()
                else:
                    tasks.create_task(self._join(sock))

    async def _join(self, child: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        parent = socket.socket()
        parent.setblocking(False)
        if self.down.settings.rate:
            parent.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SMALL_BUFFER)
        try:
            await loop.sock_connect(parent, self._target)
        except OSError:
            parent.close()
            child.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            child.close()
            return
        for sock in (child, parent):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        up, down = Pipe(self.up, self), Pipe(self.down, self)
        up.peer, down.peer = down, up
        self.pipes |= {up, down}
        # A connect takes a round trip, which the accept on this side did not.
        opened = loop.time() + self.up.settings.delay + self.down.settings.delay
        await loop.create_connection(lambda: up, sock=child)
        await loop.create_connection(lambda: down, sock=parent)
        up.start(opened + self.up.settings.delay)
        down.start(opened)

    # -- being told --------------------------------------------------------------------------------------

    def obey(self, order: Mapping[str, Any], tasks: asyncio.TaskGroup) -> dict[str, Any]:
        """Do what one line says; the counters."""
        for key, value in order.items():
            match key:
                case "down" | "up":
                    (self.down if key == "down" else self.up).change(value)
                case "both":
                    self.down.change(value)
                    self.up.change(value)
                case "reset" if value:
                    self._reset()
                case "resetting":
                    self._resetting = bool(value)
                case "every":
                    if self._every is not None:
                        self._every.cancel()
                    self._end_cut()
                    self._every = tasks.create_task(self._cut_again(*value)) if value else None
                case "heal" if value:
                    self.obey({"every": None, "resetting": False}, tasks)
                    self.down.settings, self.up.settings = Settings(), Settings()
                case _:
                    raise KeyError(key)
        for pipe in list(self.pipes):
            pipe.work()
        return {**self.counters, "down": dict(self.down.counters), "up": dict(self.up.counters)}

    def _reset(self) -> None:
        self.counters["resets"] += 1
        for pipe in list(self.pipes):
            pipe.reset()

    async def _cut_again(self, period: float, how: str, seconds: float) -> None:
        while True:
            await asyncio.sleep(period - seconds)
            self.counters["cuts"] += 1
            if how == "reset":
                self._resetting = seconds > 0
                self._reset()
            else:
                self.down.settings.hole = self.up.settings.hole = True
            await asyncio.sleep(seconds)
            self._end_cut()

    def _end_cut(self) -> None:
        self._resetting = self.down.settings.hole = self.up.settings.hole = False
        for pipe in list(self.pipes):
            pipe.work()


async def serve(to: tuple[str, int], listen: tuple[str, int], seed: int) -> None:
    """Run until standard input ends."""
    proxy, loop = Proxy(*to, seed), asyncio.get_running_loop()
    lines = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    with suppress(asyncio.CancelledError):
        async with asyncio.TaskGroup() as tasks:
            print(json.dumps({"port": await proxy.listen(*listen, tasks)}), flush=True)
            while line := await lines.readline():
                try:
                    answer = proxy.obey(json.loads(line), tasks)
                except (KeyError, ValueError, TypeError) as error:
                    answer = {"error": repr(error)}
                print(json.dumps(answer), flush=True)
            this = asyncio.current_task()
            if this is not None:
                this.cancel()
            await asyncio.sleep(0)


class FaultyLink:
    """A proxy in a process of its own, and what it is told."""

    def __init__(self, to: int, *, host: str = "127.0.0.1", listen: int = 0, seed: int = 1, python: str = "") -> None:
        command = [python or sys.executable, str(Path(__file__).resolve()), "--seed", str(seed)]
        command += ["--to", f"{host}:{to}", "--listen", f"127.0.0.1:{listen}"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.port = int(self._answer()["port"])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def tell(self, **order: Any) -> dict[str, Any]:
        """Change what the link does (see above); the counters. Raises ValueError for what it does not know."""
        if self._process.stdin is None:
            raise RuntimeError("the proxy has no standard input")
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        answer = self._answer()
        if "error" in answer:
            raise ValueError(answer["error"])
        return answer

    def _answer(self) -> dict[str, Any]:
        line = self._process.stdout.readline() if self._process.stdout is not None else ""
        if not line:
            raise RuntimeError("the proxy has ended")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        """End it; its connections end with it."""
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with suppress(OSError):
                    stream.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host, int(port)


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description="a TCP proxy that behaves as a bad link does")
    parser.add_argument("--to", type=_address, required=True)
    parser.add_argument("--listen", type=_address, default=("127.0.0.1", 0))
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with suppress(KeyboardInterrupt):
        asyncio.run(serve(options.to, options.listen, options.seed))


if __name__ == "__main__":
    main()
