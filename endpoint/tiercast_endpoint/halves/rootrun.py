"""The root half as a process: begun by its socket, gone when nobody asks (docs/agent.md, "Two halves").

Rules
- The socket is the service manager's (LISTEN_FDS), or a path of our own for whoever has none.
- The kernel says who connects: the network half's user or root; everybody else is closed at once.
- One line at a time.  When the last one has ended and no other came for a while, the process ends with 0: the socket
  stays, and the next question begins it again.
- Rubbish of the last life is swept before the first question.
"""

from __future__ import annotations

import asyncio
import os
import socket
import stat
import sys
import time
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

import structlog

from tiercast_endpoint.acting import effects
from tiercast_endpoint.acting.performing import Acting
from tiercast_endpoint.facts import inventory
from tiercast_endpoint.facts.facts import read_facts
from tiercast_endpoint.halves import errands, roothalf, trusted
from tiercast_endpoint.halves.borrowed import AskedFetcher, Borrowed, BorrowedMaterials
from tiercast_endpoint.halves.line import Line
from tiercast_endpoint.halves.roothalf import RootHalf
from tiercast_endpoint.halves.trusted import Trusted
from tiercast_endpoint.jobs import former, journal
from tiercast_endpoint.jobs.actions import Actions
from tiercast_endpoint.jobs.powering import Powering
from tiercast_endpoint.jobs.steps import Steps
from tiercast_endpoint.memory import keep_small
from tiercast_endpoint.owner import choices, messages
from tiercast_endpoint.trees import holdings, patches
from tiercast_endpoint.trees.partial import PartialTrees
from tiercast_endpoint.trees.placing import Placing
from tiercast_endpoint.trees.root_folder import RootFolder
from tiercast_endpoint.trees.selection import Chooser
from tiercast_endpoint.trees.tree import TreeError
from tiercast_endpoint.update import root_starter
from tiercast_protocol.content.facts.inventory import Facts
from tiercast_protocol.errors import MessageInvalid, StateError, UsageError
from tiercast_protocol.node import kernel, logs
from tiercast_protocol.node.database import Database
from tiercast_protocol.node.lifecycle import StateLock, ready, until_signal

log = structlog.get_logger(__name__)

SCHEMA = [
    (1, journal.SCHEMA + journal.OPTIONS + holdings.SCHEMA + holdings.PARTIAL + patches.SCHEMA + roothalf.SCHEMA),
    (2, messages.SCHEMA + inventory.SCHEMA + choices.SCHEMA),
    (3, effects.SCHEMA + journal.ACTIONS),
    (4, former.SCHEMA),
    (5, holdings.DIFFERS),
    (6, errands.SCHEMA),
]
_FIRST_FD = 3


async def serve(stack: AsyncExitStack, folder: Path, path: Path | None) -> None:
    """Serve until nobody asks any more, or a signal comes; `path` is where to listen without a service manager."""
    known = trusted.load(folder)
    logs.configure(known.settings.log_level, known.settings.log_format)
    uids = {0, os.geteuid(), known.settings.uid()}
    sock = passed_socket() or (own_socket(path, known.settings.uid()) if path is not None else None)
    if sock is None:
        raise UsageError(
            code="root.socket",
            what="No socket was passed to the root half.",
            where="LISTEN_FDS",
            todo="Let tiercast-root.socket start it, or name a path with --socket.",
        )
    stack.callback(sock.close)
    stack.enter_context(StateLock(folder))
    keep_small()
    half = await opened(known, stack)
    await asyncio.to_thread(root_starter.reached, folder)
    await Lines(half, uids, known.settings.idle).run(sock)


async def opened(known: Trusted, stack: AsyncExitStack) -> RootHalf:
    """The half over root's folder, ready for questions."""
    db = await stack.enter_async_context(Database.open(known.folder / "root.db", SCHEMA))
    root, limits = RootFolder(known.settings.install_root), known.settings.limits()
    stack.callback(root.close)
    try:
        await asyncio.to_thread(root.open)
        await asyncio.to_thread(trusted.check_root, root.path)
        await PartialTrees(db, root).recover()
    except (OSError, TreeError) as error:
        reason = error.detail if isinstance(error, TreeError) else str(error.strerror)
        raise StateError(str(root.path), f"can't be the install root: {reason}", "Choose another one.") from error
    borrowed = Borrowed()
    materials = BorrowedMaterials(
        db=db,
        root=root,
        store=borrowed,
        placing=Placing(borrowed, db, lambda: root.free() - limits.reserve),
        fetcher=AskedFetcher(borrowed),
        store_free=lambda: (root.free(), True),
        limits=limits,
        chooser=Chooser(lambda: _facts(known, db), known.settings.variables),
    )
    steps = Steps(db=db, root=root, materials=materials, limits=limits, now_ms=now_ms)
    prefix, kept = known.settings.prefix, known.folder / "kept"
    acting = Acting(db=db, root=root, materials=materials, steps=steps, prefix=prefix, keep=kept)
    actions = Actions(db=db, steps=acting, restart=asyncio.Event(), look=_nothing, now_ms=now_ms)
    powering = Powering(db, known.settings.power, actions)
    return RootHalf(
        db=db,
        me=known.me,
        steps=powering,
        materials=materials,
        borrowed=borrowed,
        limits=limits,
        now_ms=now_ms,
        beyond=acting.beyond,
        root=root,
        errands_=errands.Errands(db=db, root=root.path, materials=materials, settings=known.settings.power),
    )


async def _facts(known: Trusted, db: Database) -> Facts:
    """What this machine is, as root sees it: what the network half says of it decides nothing here."""
    held = {one.package: one.version for one in await db.read(holdings.installed)}
    where, labels = known.settings.install_root, known.settings.labels
    return await asyncio.to_thread(read_facts, known.me.name, where, held, labels)


async def _nothing() -> None:
    """Looking at the machine is the network half's."""


def now_ms() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000


class Lines:
    """Who asks now.

    Args:
        half: answers.
        uids: who may ask.
        idle_s: it ends when nobody has asked for so long.
    """

    def __init__(self, half: RootHalf, uids: set[int], idle_s: float) -> None:
        self._half = half
        self._uids = uids
        self._idle_s = idle_s
        self._line: Line | None = None
        self._asked = asyncio.Event()

    async def run(self, sock: socket.socket) -> None:
        """Serve lines until there was none for a while, or a signal comes."""
        async with asyncio.TaskGroup() as tasks:
            signals = tasks.create_task(until_signal())
            ready(socket=str(sock.getsockname()))
            await self.serve(sock)
            signals.cancel()
            log.info("stopping", reason="nobody asks")

    async def serve(self, sock: socket.socket) -> None:
        """Serve lines until there was none for a while."""
        async with asyncio.TaskGroup() as tasks:
            # Newer Pythons would take the name of the socket away at the end: it is for who asks next.
            kept: dict[str, Any] = {"cleanup_socket": False} if sys.version_info >= (3, 13) else {}
            server = await asyncio.start_unix_server(
                lambda reader, writer: self._connected(reader, writer, tasks), sock=sock, limit=1 << 20, **kept
            )
            try:
                await self._until_idle()
            finally:
                server.close()

    async def _until_idle(self) -> None:
        while True:
            self._asked.clear()
            try:
                async with asyncio.timeout(self._idle_s):
                    await self._asked.wait()
            except TimeoutError:
                if self._line is None:
                    return

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, tasks: asyncio.TaskGroup) -> None:
        self._asked.set()
        peer = kernel.peer_of(writer.get_extra_info("socket"))
        if peer.uid not in self._uids or self._line is not None:
            log.warning("refused", code="half.peer" if self._line is None else "half.busy", uid=peer.uid, pid=peer.pid)
            writer.close()
            return
        line = self._line = Line(reader, writer, self._half.answer)
        tasks.create_task(self._live(line))

    async def _live(self, line: Line) -> None:
        self._half.attach(line)
        try:
            await line.run()
        except MessageInvalid as error:
            log.warning("refused", code="half.garbage", reason=str(error))
        finally:
            self._half.attach(None)
            self._line = None
            self._asked.set()


def passed_socket() -> socket.socket | None:
    """The listening UNIX socket that the service manager passed; None where it passed none to this process.

    Raises:
        UsageError: it passed something else.
    """
    if os.environ.get("LISTEN_PID") != str(os.getpid()) or not (passed := os.environ.get("LISTEN_FDS", "")):
        return None
    with suppress(OSError):
        sock = socket.socket(fileno=_FIRST_FD)
        if (
            passed == "1"
            and sock.family == socket.AF_UNIX
            and sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 1
        ):
            os.set_inheritable(_FIRST_FD, False)
            return sock
        sock.detach()
    raise UsageError(
        code="root.socket",
        what="What the service manager passed is not one listening UNIX socket.",
        where="LISTEN_FDS",
        todo="Use the unit tiercast-root.socket as it is: one ListenStream, Accept=no.",
    )


def own_socket(path: Path, uid: int) -> socket.socket:
    """A listening socket at `path` for the user `uid`; one that is left from before is replaced.  Raises StateError."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        with suppress(FileNotFoundError):
            if stat.S_ISSOCK(path.lstat().st_mode):
                path.unlink()
        sock.bind(str(path))
        path.chmod(0o600)
        if os.geteuid() == 0:
            os.chown(path, uid, -1)
        sock.listen(8)
    except OSError as error:
        sock.close()
        raise StateError(str(path), f"can't listen there: {error.strerror}", "Name another path.") from error
    return sock
