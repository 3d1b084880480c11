"""A daemon's life: start, serve, be asked to stop, unwind, exit.

Rules
- `main` enters what it needs on the `AsyncExitStack` and then runs its `TaskGroup`, one task of which
  is `until_signal()`.  SIGINT and SIGTERM end that task with `Stop`, which unwinds all in reverse: exit 0.
- A signal before or after `until_signal()` cancels `main`; a second one does not wait for anything.
- One daemon per state folder: `StateLock`.  The lock is the kernel's, so it is never stale.
- The service manager is told ready, alive (half the watchdog's interval, from the loop itself) and stopping.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import importlib
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import structlog

from tiercast_protocol.errors import ConfigError, StateError, TiercastError, UsageError
from tiercast_protocol.node.allocator import large_blocks_apart

log = structlog.get_logger()

EXIT_OK, EXIT_FAILED, EXIT_USAGE, EXIT_UNREACHABLE, EXIT_INTERRUPTED = 0, 1, 2, 3, 130


class Stop(Exception):
    """The daemon was asked to stop: no error, but how `until_signal` ends its TaskGroup."""


class _Signals:
    """Turns the first signal into `Stop` (or a cancelled main task) and the second into the end."""

    def __init__(self, main: asyncio.Task[Any]) -> None:
        self._main = main
        self.came = asyncio.Event()
        self.waiters = 0

    def on_signal(self, number: int) -> None:
        name = signal.Signals(number).name
        if self.came.is_set():
            log.warning("forced to stop", signal=name)
            os._exit(EXIT_FAILED)
        log.info("stopping", signal=name)
        notify("STOPPING=1")
        self.came.set()
        if not self.waiters:
            self._main.cancel()


_signals: _Signals | None = None


async def until_signal() -> None:
    """Wait for SIGINT or SIGTERM, then raise Stop.  Only within `run_daemon`."""
    if _signals is None:
        raise RuntimeError("until_signal() outside run_daemon()")
    _signals.waiters += 1
    try:
        await _signals.came.wait()
    finally:
        _signals.waiters -= 1
    raise Stop


def run_daemon(main: Callable[[contextlib.AsyncExitStack], Awaitable[object]]) -> int:
    """Run `main` to its end and give the process's exit code.

    An error that a human can mend is written to stderr as it is; any other is logged with its traceback.
    """
    large_blocks_apart()
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(_live(main))
    except BaseException as error:  # noqa: BLE001 - this is the end of the process: each error becomes its exit code
        return _exit_code_of(error)
    return EXIT_OK


async def _live(main: Callable[[contextlib.AsyncExitStack], Awaitable[object]]) -> None:
    global _signals  # noqa: PLW0603 - signals belong to the process, of which there is one
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("no task")
    loop = asyncio.get_running_loop()
    _signals = signals = _Signals(task)
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, signals.on_signal, number)
    _keep_watchdog_quiet(loop)
    try:
        async with contextlib.AsyncExitStack() as stack:
            await main(stack)
    except asyncio.CancelledError as error:
        if not signals.came.is_set():
            raise
        raise Stop from error
    finally:
        _signals = None


def _keep_watchdog_quiet(loop: asyncio.AbstractEventLoop) -> None:
    interval = int(os.environ.get("WATCHDOG_USEC") or 0) / 1e6
    if interval <= 0 or os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return

    def alive() -> None:
        notify("WATCHDOG=1")
        loop.call_later(interval / 2, alive)

    alive()


def notify(state: str) -> bool:
    """Tell the service manager `state` ("READY=1"); False when there is none that listens."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return False
    if address.startswith("@"):  # the abstract namespace begins with a NUL
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
            sock.settimeout(1)
            sock.sendto(state.encode(), address)
    except OSError as error:
        log.debug("service manager does not listen", error=str(error))
        return False
    return True


def ready(**fields: object) -> None:
    """Say that the daemon serves: to the service manager and as the log line `ready`."""
    notify(f"READY=1\nMAINPID={os.getpid()}")
    log.info("ready", pid=os.getpid(), **fields)


class StateLock:
    """The right to use a state folder; made with the folder (mode 0700) when it is not there.

    Raises:
        StateError: another process holds it (named), or the folder can't be used.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._handle = -1

    def __enter__(self) -> Self:
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            todo = "Run as the user that owns it, or name another with --state."
            raise StateError(str(self._folder), f"it can't be used: {error.strerror}", todo) from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(handle, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(handle)
            todo = "Stop that one first, or give this one a folder of its own with --state."
            raise StateError(str(self._folder), f"another daemon uses it (process {holder})", todo) from error
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        self._handle = handle
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._handle)
        self._handle = -1


def exit_code_for(error: BaseException) -> int:
    """The documented exit code of an error that ends a program."""
    if isinstance(error, UsageError):
        return EXIT_UNREACHABLE if error.code == "daemon.unreachable" else EXIT_USAGE
    if isinstance(error, KeyboardInterrupt):
        return EXIT_INTERRUPTED
    return EXIT_FAILED


def leaves(error: BaseException) -> list[BaseException]:
    """The single errors in `error`, which may be a group of groups."""
    if isinstance(error, BaseExceptionGroup):
        return [leaf for part in error.exceptions for leaf in leaves(part)]
    return [error]


def _exit_code_of(error: BaseException) -> int:
    found = [e for e in leaves(error) if not isinstance(e, Stop)]
    if not found:
        return EXIT_OK
    for leaf in found:
        if isinstance(leaf, SystemExit):
            return leaf.code if isinstance(leaf.code, int) else EXIT_FAILED
    mendable = [e for e in found if isinstance(e, (UsageError, ConfigError, StateError))]
    for leaf in found:
        if leaf in mendable:
            sys.stderr.write(f"error: {leaf}\n")
        else:
            reason = str(leaf) if isinstance(leaf, TiercastError) else repr(leaf)
            log.error("failed", error=reason, exc_info=leaf)
    return exit_code_for((mendable or found)[0])


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        made: Callable[[], asyncio.AbstractEventLoop] = importlib.import_module("uvloop").new_event_loop
    except ImportError:  # the endpoint's base install is without it
        return None
    return made
