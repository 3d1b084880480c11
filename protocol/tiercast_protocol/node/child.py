"""A child process that dies with us.

Rules
- A tiny launcher asks the kernel to kill the process when its parent ends (PR_SET_PDEATHSIG), then
  becomes the program: so not even `kill -9` of a daemon leaves its broker behind.
- What it writes goes to our log, a line at a time, at the level that the line seems to have.
- It is asked to end by SIGTERM and made to after `patience` seconds.
- No task stands behind it: callbacks of the loop, so any task may start, await or end it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress

import structlog

log = structlog.get_logger()

# prctl(PR_SET_PDEATHSIG, SIGKILL); a parent that died before the call shows in getppid().
_LAUNCHER = (
    "import ctypes,os,sys;ctypes.CDLL(None).prctl(1,9,0,0,0);"
    "os.getppid()==int(sys.argv[1]) or os._exit(1);os.execv(sys.argv[2],sys.argv[2:])"
)
_MAX_LINE = 4096


def tied(command: Sequence[str]) -> list[str]:
    """`command` (its program a path), begun so that the kernel kills it when this process ends, whatever ends it."""
    return [sys.executable, "-I", "-S", "-c", _LAUNCHER, str(os.getpid()), *command]


class Child:
    """One started process; made by `start`."""

    def __init__(self, transport: asyncio.SubprocessTransport, protocol: _Watcher) -> None:
        self._transport = transport
        self._protocol = protocol
        self.pid = transport.get_pid()
        try:
            # not the transport's way, which may take the exit code from under the watcher of children
            self._handle = os.pidfd_open(self.pid)
        except OSError:  # older than Linux 5.3
            self._handle = -1

    @classmethod
    async def start(
        cls,
        command: Sequence[str],
        *,
        name: str,
        environment: Mapping[str, str] | None = None,
        quiet: Sequence[str] = (),
    ) -> Child:
        """Start `command`.

        Args:
            command: program (a path) and arguments.
            name: what the log calls it.
            environment: set in addition to ours.
            quiet: lines that hold one of these are logged at debug only.

        Raises:
            OSError: it can't be started.
        """
        launcher = tied(command)
        transport, protocol = await asyncio.get_running_loop().subprocess_exec(
            lambda: _Watcher(name, quiet),
            *launcher,
            stdin=asyncio.subprocess.DEVNULL,
            env={**os.environ, **(environment or {})},
        )
        return cls(transport, protocol)

    @property
    def alive(self) -> bool:
        """Whether it has not ended."""
        return not self._protocol.ended.done()

    @property
    def returncode(self) -> int | None:
        """Exit code, negative for a signal; None while alive."""
        return self._transport.get_returncode()

    async def wait(self) -> int:
        """Its exit code, when it has ended; safe to be given up."""
        await asyncio.shield(self._protocol.ended)
        return self.returncode or 0

    def signal(self, number: int) -> None:
        """Send it a signal, if it is alive."""
        if not self.alive:
            return
        with suppress(ProcessLookupError):
            if self._handle >= 0:
                signal.pidfd_send_signal(self._handle, number)
            else:
                os.kill(self.pid, number)

    async def end(self, patience: float = 5.0) -> None:
        """See it ended: SIGTERM, `patience` seconds, SIGKILL."""
        for number, wait in ((signal.SIGTERM, patience), (signal.SIGKILL, 5.0)):
            self.signal(number)
            self.signal(signal.SIGCONT)  # a stopped one would not hear of SIGTERM
            with suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self.wait()
                break
        self._transport.close()
        handle, self._handle = self._handle, -1
        if handle >= 0:
            os.close(handle)


class _Watcher(asyncio.SubprocessProtocol):
    """Cuts what the process writes into lines for the log, and knows when it has ended."""

    def __init__(self, name: str, quiet: Sequence[str]) -> None:
        self._name = name
        self._quiet = quiet
        self._rest: dict[int, bytes] = {}
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def process_exited(self) -> None:
        """asyncio: the process has ended."""
        if not self.ended.done():
            self.ended.set_result(None)

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        """asyncio: it wrote `data`."""
        *lines, rest = (self._rest.get(fd, b"") + data).split(b"\n")
        self._rest[fd] = rest[-_MAX_LINE:]
        for line in lines:
            self._say(line)

    def _say(self, raw: bytes) -> None:
        line = raw[:_MAX_LINE].decode("utf-8", "replace").rstrip()
        if not line or any(part in line for part in self._quiet):
            log.debug("said by child", child=self._name, line=line)
        elif "error" in line.lower():
            log.error("said by child", child=self._name, line=line)
        else:
            log.info("said by child", child=self._name, line=line)
