"""Running programs: a package's run-before and run-after, and those of jobs (docs/on-the-endpoint.md).

Rules
- A session and process group of its own, stdin closed, a clean environment, a working folder that the caller names.
- Output goes through a pipe that is always read: a program that floods is not slowed by us, and only the first and
  the last part of what it says is kept; what was cut out is marked.
- Past its time the whole group gets SIGTERM, and SIGKILL after a grace.  When the program ends, what is left of its
  group is killed: nothing of it runs on unseen.  Who made a session of its own (a service) lives on.
- Whoever names a program in its journal has it wait for a line first (becoming.py), which it gets when that is written:
  killed at any instant, the agent's next life finds what is left of it, or nothing was begun.
- The pipe is not waited for beyond a moment: a child that kept it open does not hold the job.
"""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import signal
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tiercast_protocol.content.jobs.receipt import ProgramResult

#: Seconds between SIGTERM and SIGKILL.
GRACE_S = 5.0
#: Seconds that the pipe is read after the program has ended.
DRAIN_S = 0.5
_READ = 1 << 16
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True)
class Ran:
    """What became of a program.

    Attributes:
        exit: its exit status; negative is the signal that ended it.
        timed_out: it was killed because its time was over.
        seconds: how long it ran.
        output: stdout and stderr together, head and tail.
    """

    exit: int
    timed_out: bool
    seconds: float
    output: bytes

    @property
    def ok(self) -> bool:
        """Whether it ended by itself with status 0."""
        return self.exit == 0 and not self.timed_out

    def result(self, argv: Sequence[str]) -> ProgramResult:
        """As receipts tell it; `argv` is what was asked for, wherever that lies."""
        return ProgramResult(
            argv=list(argv),
            exit=self.exit,
            timed_out=self.timed_out,
            seconds=round(self.seconds, 3),
            output=self.output.decode("utf-8", "replace"),
        )


class HeadAndTail:
    """Keeps the first and the last half of `limit` bytes of a stream."""

    def __init__(self, limit: int) -> None:
        self._most_head = limit // 2
        self._most_tail = limit - self._most_head
        self._head = bytearray()
        self._tail = bytearray()
        self.total = 0

    def add(self, data: bytes) -> None:
        """Take the next bytes."""
        self.total += len(data)
        room = self._most_head - len(self._head)
        self._head += data[:room]
        self._tail += data[room:]
        if len(self._tail) > 2 * self._most_tail:
            del self._tail[: -self._most_tail]

    def value(self) -> bytes:
        """All, or head and tail with a line that says how much is missing."""
        tail = bytes(self._tail[-self._most_tail :]) if self._most_tail else b""
        cut = self.total - len(self._head) - len(tail)
        if cut <= 0:
            return bytes(self._head) + tail
        return bytes(self._head) + b"\n[... %d bytes cut ...]\n" % cut + tail


def environment(*, package: str, version: str, job: str, tree: Path) -> dict[str, str]:
    """The whole environment of a program."""
    return {
        "TIERCAST_PACKAGE": package,
        "TIERCAST_VERSION": version,
        "TIERCAST_JOB": job,
        "TIERCAST_TREE": str(tree),
        "PATH": PATH,
        "HOME": os.environ.get("HOME", "/"),
        "LANG": "C.UTF-8",
    }


def executable(program: str, cwd: Path) -> str:
    """The absolute path of `program`: below `cwd` where it is relative, out of PATH where it is a bare name.

    Raises:
        OSError: there is none, or it may not be executed.
    """
    path = str(cwd / program) if "/" in program else shutil.which(program, path=PATH)
    if path is None or not Path(path).is_file():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), program)
    if not os.access(path, os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), program)
    return path


async def run_program(  # noqa: PLR0915 - one story, and what it opened is closed beside it
    argv: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    timeout_s: float,
    output_limit: int,
    on_started: Callable[[int], Awaitable[None]] | None = None,
    grace_s: float = GRACE_S,
    gated: bool = False,
) -> Ran:
    """Run `argv` to its end.

    Args:
        argv: program and arguments; a relative program is looked for in `cwd`, a bare name in PATH.
        cwd: working folder.
        env: the whole environment.
        timeout_s: seconds it may take.
        output_limit: bytes of output kept.
        on_started: told the process id, which is also its group.
        grace_s: seconds between SIGTERM and SIGKILL.
        gated: the command begins nothing before it reads a line, which it gets once `on_started` is done.

    Raises:
        OSError: it could not be started.
    """
    read_end, write_end = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    kept = HeadAndTail(output_limit)
    drained = asyncio.Event()
    loop = asyncio.get_running_loop()

    def read() -> None:
        try:
            data = os.read(read_end, _READ)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            kept.add(data)
        else:
            loop.remove_reader(read_end)
            drained.set()

    started = time.monotonic()
    try:
        # The child writes blocking, as programs expect: only our end of the pipe is non-blocking.
        os.set_blocking(write_end, True)
        program = argv[0]
        if "/" in program and not program.startswith("/"):
            program = str(cwd / program)
        try:
            process = await asyncio.create_subprocess_exec(
                program,
                *argv[1:],
                stdin=asyncio.subprocess.PIPE if gated else asyncio.subprocess.DEVNULL,
                stdout=write_end,
                stderr=write_end,
                cwd=cwd,
                env=dict(env),
                start_new_session=True,
            )
        finally:
            os.close(write_end)
        loop.add_reader(read_end, read)
        timed_out = False
        try:
            if on_started is not None:
                await on_started(process.pid)
            if process.stdin is not None:
                process.stdin.write(b"\n")
                process.stdin.close()
            try:
                async with asyncio.timeout(timeout_s):
                    await process.wait()
            except TimeoutError:
                timed_out = True
                await _end(process, grace_s)
        finally:
            # Also when we are cancelled: a daemon that stops leaves no program behind.
            kill_group(process.pid)
            await asyncio.shield(process.wait())
        with suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_S):
                await drained.wait()
        exit_ = process.returncode if process.returncode is not None else -signal.SIGKILL
        return Ran(exit_, timed_out, time.monotonic() - started, kept.value())
    finally:
        loop.remove_reader(read_end)
        os.close(read_end)


async def _end(process: asyncio.subprocess.Process, grace_s: float) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGTERM)
    with suppress(TimeoutError):
        async with asyncio.timeout(grace_s):
            await process.wait()
    kill_group(process.pid)
    await process.wait()


def kill_group(group: int) -> None:
    """SIGKILL to every process of `group`; none left is fine."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


def identity_of(pid: int) -> str:
    """A text that names the process beyond reuse of its id ("<pid>:<start in clock ticks>"); "" when it is gone."""
    try:
        # The name may hold anything, even ")": the fields are counted from the last one.
        fields = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
    except OSError:
        return ""
    return f"{pid}:{fields[19]}"


def kill_leftover(identity: str) -> bool:
    """End the group of a program that an earlier life of the daemon started, if it still is that program."""
    pid, _, _ = identity.partition(":")
    if not pid.isdigit() or identity_of(int(pid)) != identity:
        return False
    kill_group(int(pid))
    return True
