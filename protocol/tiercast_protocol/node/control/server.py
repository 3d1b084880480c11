"""Serves a control socket.

Rules
- Who connects is asked of the kernel before a byte is read; a stranger gets one error frame and the end.
- Each call is a task of its own, a few per connection; the client's end, or its `cancel`, cancels them.
- Nothing is produced for a client that does not read: the next item of a stream is asked for when the
  last one is on its way.
- Garbage ends its connection and is counted.  An error in a handler is logged here and is a short
  "internal" to the client; a UsageError reaches it as it is.
- A socket left by a dead daemon is replaced; one on which a daemon answers is not.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import socket
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

import structlog

from tiercast_protocol.errors import ConfigError, MessageInvalid, StateError, TiercastError, UsageError
from tiercast_protocol.node import kernel, logs
from tiercast_protocol.node.control import framing, peers
from tiercast_protocol.node.control.verbs import Call, Verb, Verbs
from tiercast_protocol.node.metrics import METRICS

log = structlog.get_logger()

#: Bytes that may wait for a client that reads slowly, before its handlers wait.
_HIGH_WATER = 256 << 10

_bad = METRICS.counter("control_frames_bad_total", "frames of a control socket that could not be read")
_refused = METRICS.counter("control_peers_refused_total", "connections of users without a role")
_calls = METRICS.counter("control_calls_total", "calls by verb")


class ControlServer:
    """Listens at `path` from entry to exit.

    Raises:
        StateError: a daemon listens there already, or the place can't be used.
    """

    def __init__(
        self,
        path: Path,
        verbs: Verbs,
        *,
        max_connections: int = 64,
        max_calls: int = 16,
        group: str = peers.GROUP,
        own_uid: int | None = None,
        mode: int = 0o660,
    ) -> None:
        self.path = path
        self._verbs = verbs
        self._max_connections = max_connections
        self._max_calls = max_calls
        self._group = group
        self._own_uid = own_uid
        self._mode = mode
        self._tasks = asyncio.TaskGroup()
        self._open: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._inode = 0

    @property
    def connections(self) -> int:
        """How many clients are connected."""
        return len(self._open)

    async def __aenter__(self) -> Self:
        sock = bind(self.path, group=self._group, mode=self._mode)
        self._inode = self.path.stat().st_ino
        await self._tasks.__aenter__()
        self._server = await asyncio.start_unix_server(self._connected, sock=sock, limit=1 << 16)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._open:
            task.cancel()
        try:
            await self._tasks.__aexit__(None, None, None)
        finally:
            with contextlib.suppress(FileNotFoundError):
                if self.path.stat().st_ino == self._inode:  # never a successor's
                    self.path.unlink()

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._server is None or not self._server.is_serving():
            writer.transport.abort()
            return
        task = self._tasks.create_task(self._serve(reader, writer))
        self._open.add(task)
        task.add_done_callback(self._open.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = _Connection(writer, self._verbs, self._max_calls)
        try:
            peer = kernel.peer_of(writer.get_extra_info("socket"))
            role = peers.role_of(peer, own_uid=self._own_uid, group=self._group)
            if role is None:
                _refused.add()
                log.warning("control peer refused", uid=peer.uid, pid=peer.pid)
                await connection.refuse(_no_role(peer, self._group))
            elif len(self._open) > self._max_connections:
                await connection.refuse(_busy(f"{self._max_connections} connections are open"))
            else:
                await connection.run(reader, peer, role)
        except MessageInvalid as error:
            _bad.add()
            log.warning("control frame refused", error=str(error))
        except OSError as error:
            log.debug("control connection ended", error=str(error))
        except Exception:
            log.exception("control connection failed")  # never the other connections
        finally:
            # abort, not close: a client that does not read can't keep us waiting
            if writer.transport.get_write_buffer_size():
                writer.transport.abort()
            else:
                writer.close()


class _Connection:
    """One client: reads its calls, answers each from a task."""

    def __init__(self, writer: asyncio.StreamWriter, verbs: Verbs, max_calls: int) -> None:
        self._writer = writer
        self._verbs = verbs
        self._max_calls = max_calls
        self._running: dict[int, asyncio.Task[None]] = {}
        self._turn = asyncio.Lock()
        writer.transport.set_write_buffer_limits(high=_HIGH_WATER)

    async def refuse(self, error: UsageError) -> None:
        """Say why, under the id 0 that belongs to no call, and give it a moment to arrive."""
        async with asyncio.timeout(1):
            await self._send({"id": 0, "error": as_map(error)})

    async def run(self, reader: asyncio.StreamReader, peer: kernel.Peer, role: peers.Role) -> None:
        """Answer until the client ends.  Raises MessageInvalid (garbage) or OSError."""
        frames = framing.FrameReader(reader)
        ended: Exception | None = None
        user = peers.name_of(peer)
        async with asyncio.TaskGroup() as tasks:
            try:
                while (frame := await frames.next()) is not None:
                    await self._asked(frame, tasks, peer, role, user)
            except (MessageInvalid, OSError) as error:
                ended = error
            finally:
                for task in self._running.values():
                    task.cancel()
        if ended is not None:  # outside of the group, which would wrap it
            raise ended

    async def _asked(
        self, frame: framing.Frame, tasks: asyncio.TaskGroup, peer: kernel.Peer, role: peers.Role, user: str
    ) -> None:
        id_ = frame["id"]
        if frame.get("cancel") is True:
            if (running := self._running.get(id_)) is not None:
                running.cancel()
            return
        args = frame.get("args", {})
        if id_ == 0 or id_ in self._running or not isinstance(args, dict):
            raise MessageInvalid("an id in use, or args that are no map")
        if len(self._running) >= self._max_calls:
            busy = _busy(f"{self._max_calls} calls are open on this connection")
            await self._send({"id": id_, "error": as_map(busy)})
            return
        call = Call(str(frame.get("verb"))[:80], args, peer, role, user, os.urandom(8).hex())
        task = tasks.create_task(self._answer(id_, call))
        self._running[id_] = task
        task.add_done_callback(functools.partial(self._done, id_))

    def _done(self, id_: int, _: asyncio.Task[None]) -> None:
        self._running.pop(id_, None)

    async def _answer(self, id_: int, call: Call) -> None:
        with logs.cause_of(call.cause):
            try:
                verb = self._verbs.named(call.verb)
                _calls.add(label=verb.name)
                if not peers.allows(call.role, verb.role):
                    raise _not_allowed(call, verb)  # noqa: TRY301 - the one place that turns errors into frames
                if verb.streams:
                    await self._stream(id_, call, verb)
                else:
                    result = await cast("Awaitable[Any]", verb.handler(call))
                    await self._send({"id": id_, "result": result})
            except OSError as error:
                if self._writer.transport.is_closing():
                    return
                await self._fail(id_, call, error)
            except asyncio.CancelledError:
                raise
            except Exception as error:  # noqa: BLE001 - a handler's mistake must not end the daemon
                await self._fail(id_, call, error)

    async def _stream(self, id_: int, call: Call, verb: Verb) -> None:
        items = cast("AsyncIterator[Any]", verb.handler(call))
        try:
            async for item in items:
                await self._send({"id": id_, "item": item})
        finally:
            if (close := getattr(items, "aclose", None)) is not None:
                await close()
        await self._send({"id": id_, "end": True})

    async def _fail(self, id_: int, call: Call, error: Exception) -> None:
        if isinstance(error, UsageError):
            told = error
        else:
            log.error("control call failed", verb=call.verb, error=repr(error), exc_info=error)
            told = _internal(call, error)
        with contextlib.suppress(OSError):
            await self._send({"id": id_, "error": as_map(told)})

    async def _send(self, frame: framing.Frame) -> None:
        data = framing.pack(frame)
        async with self._turn:  # one drain at a time keeps what is buffered below the mark plus one frame
            if self._writer.transport.is_closing():
                raise ConnectionResetError("the client is gone")
            self._writer.write(data)
            await self._writer.drain()


def bind(path: Path, *, group: str = peers.GROUP, mode: int = 0o660) -> socket.socket:
    """A listening UNIX socket at `path` of that mode, for the operators' group where we may give it away.

    Raises:
        StateError: a daemon listens there, or the place can't be used.
    """
    operators = peers.group_id(group)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        path.parent.mkdir(mode=0o750 if operators is not None else 0o700, parents=True, exist_ok=True)
        _check_parent(path.parent)
        _remove_stale(path)
        sock.bind(str(path))
        if operators is not None:
            with contextlib.suppress(PermissionError):  # not ours to give away: then only we and root
                os.chown(path, -1, operators)
        path.chmod(mode)
        sock.listen(64)
    except OSError as error:
        sock.close()
        todo = "Give the daemon a state folder that its user may write, with --state."
        raise StateError(str(path), f"no control socket can be made: {error.strerror}", todo) from error
    except StateError:
        sock.close()
        raise
    return sock


def as_map(error: UsageError) -> dict[str, str]:
    """`error` as it travels."""
    return {"code": error.code, "what": error.what, "where": error.where, "todo": error.todo}


def _check_parent(folder: Path) -> None:
    found = folder.stat()
    if found.st_uid not in {0, os.geteuid()} or (found.st_mode & 0o002 and not found.st_mode & 0o1000):
        todo = "Make it the daemon's own: chown it and chmod 0750."
        raise StateError(str(folder), "others could replace the control socket in this folder", todo)


def _remove_stale(path: Path) -> None:
    if not path.is_socket():
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(2)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            path.unlink(missing_ok=True)
            return
        except OSError as error:
            if not isinstance(error, (TimeoutError, BlockingIOError)):
                raise
    todo = "Stop it first, or give this one a state folder of its own with --state."
    raise StateError(str(path), "another daemon listens there", todo)


def _no_role(peer: kernel.Peer, group: str) -> UsageError:
    return UsageError(
        code="role.none",
        what=f'The user "{peers.name_of(peer)}" may not talk to this daemon.',
        todo=f'Run as the daemon\'s user or root, or become a member of the group "{group}".',
    )


def _not_allowed(call: Call, verb: Verb) -> UsageError:
    return UsageError(
        code="role.missing",
        what=f'"{verb.name}" needs the role {verb.role}; "{call.user}" is {call.role} here.',
        todo="Ask an administrator, or run it as the daemon's user or root.",
    )


def _busy(reason: str) -> UsageError:
    return UsageError(
        code="control.busy", what=f"The daemon takes no more: {reason}.", todo="End some of them and try again."
    )


def _internal(call: Call, error: Exception) -> UsageError:
    known = str(error) if isinstance(error, TiercastError) and not isinstance(error, ConfigError) else ""
    return UsageError(
        code="daemon.failed",
        what=known or f"{call.verb} failed within the daemon.",
        where=call.verb,
        todo=f"The daemon's log has the details under cause={call.cause}.",
    )
