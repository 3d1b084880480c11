"""`--host ssh://USER@HOST`: the control socket of a daemon on another machine, carried by ssh.

Rules
- ssh does what it is for: who may log in there, keys, known hosts, proxies, all by its own configuration.  It forwards
  a UNIX socket of ours (in a folder that only we may enter) to the daemon's; who calls is there who logged in.
- It never asks: there may be no terminal (`BatchMode`).  What it says is what people read when it fails.
- One ssh for one run of the command line, ended with it.  A connection that breaks breaks the command, as a daemon's
  end does; the packager asks what is missing, so that the same command again goes on from there.
- Another program in place of ssh: `TIERCAST_SSH`, a command with its arguments.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from tiercast_protocol.errors import UsageError
from tiercast_protocol.node.child import tied

#: Where a server's socket is when the address names none.
USUAL = "/var/lib/tiercast/server/control.sock"
#: Seconds until ssh must have logged in, and between two looks.
PATIENCE_S, _LOOK_S = 30.0, 0.02
_MOST_SAID = 600


@dataclass(frozen=True, slots=True)
class Host:
    """Where to: `user` and `port` as ssh's own configuration says where they are "" and 0; the socket's path there."""

    name: str
    user: str = ""
    port: int = 0
    socket: str = USUAL


def parse(text: str) -> Host:
    """The host in `ssh://[USER@]HOST[:PORT][/path/of/control.sock]`.

    Raises:
        UsageError: host.invalid.
    """
    try:
        found = urlsplit(text)
        host = Host(
            found.hostname or "",
            unquote(found.username or ""),
            found.port or 0,
            unquote(found.path).rstrip("/") or USUAL,
        )
    except ValueError as error:
        raise _invalid(text, str(error)) from error
    # What begins with "-" would be an option of ssh.
    odd = any(part.startswith("-") or any(mark.isspace() for mark in part) for part in (host.name, host.user))
    if found.scheme != "ssh" or not host.name or odd or found.password or found.query or found.fragment:
        raise _invalid(text, "it is no address")
    if ":" in host.socket or "\0" in host.socket:
        raise _invalid(text, "the socket's path holds a colon")
    return host


def command(host: Host, local: Path) -> list[str]:
    """The program and its arguments: `local` becomes the daemon's socket."""
    words = shlex.split(os.environ.get("TIERCAST_SSH", "")) or ["ssh"]
    options = ("BatchMode=yes", "ExitOnForwardFailure=yes", "StreamLocalBindMask=0177", "ServerAliveInterval=15")
    found = [*words, "-N", "-T", "-C"]
    for option in options:
        found += ["-o", option]
    if host.port:
        found += ["-p", str(host.port)]
    if host.user:
        found += ["-l", host.user]
    return [*found, "-L", f"{local}:{host.socket}", "--", host.name]


@asynccontextmanager
async def carried(host: Host) -> AsyncIterator[Path]:
    """A socket here that is the daemon's there, while the block lasts.

    Raises:
        UsageError: host.unreachable, with what ssh said; host.command.
    """
    with tempfile.TemporaryDirectory(prefix="tiercast-") as folder:
        local = Path(folder) / "control.sock"
        words = command(host, local)
        if (program := shutil.which(words[0])) is None:
            todo = "Install ssh (openssh-client), or name another command with TIERCAST_SSH."
            raise UsageError("host.command", f"{words[0]} can't be started: no such program", "", todo)
        ssh = await asyncio.create_subprocess_exec(
            *tied([program, *words[1:]]),  # not even `kill -9` of us leaves it
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for us, who end it
        )
        try:
            await _until_there(ssh, local, host)
            yield local
        finally:
            with suppress(ProcessLookupError):
                ssh.terminate()
            await ssh.wait()


async def _until_there(ssh: asyncio.subprocess.Process, local: Path, host: Host) -> None:
    """Wait for the socket, for the end of ssh, or as long as there is patience."""
    with suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE_S):
            while not _is_there(local):
                if ssh.returncode is not None:
                    break
                await asyncio.sleep(_LOOK_S)
            else:
                return
    if ssh.returncode is None:
        ssh.terminate()
    said = (await ssh.stderr.read()).decode(errors="replace").strip() if ssh.stderr else ""
    raise UsageError(
        code="host.unreachable",
        what=f"{host.name} can't be reached by ssh: {said[-_MOST_SAID:] or 'it said nothing'}.",
        todo=f"Try `ssh {f'{host.user}@' if host.user else ''}{host.name} true`; it must work without a question.",
    )


def _is_there(path: Path) -> bool:
    """Whether somebody listens: between the name and that lies a moment, in which who connects is refused."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True


def _invalid(text: str, why: str) -> UsageError:
    return UsageError(
        code="host.invalid",
        what=f"{text[:80]!r} names no host: {why}.",
        where="--host",
        todo="Write ssh://USER@HOST, or ssh://USER@HOST:PORT/path/of/control.sock.",
    )
