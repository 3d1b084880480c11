"""The commands of Tiercast for tests: a process has one imported, and forks a run for each call.

    python commands.py SOCKET MODULE...        serves the first until its stdin ends

Rules
- A run is the command's own `main`, in a process of its own, with the arguments, environment and folder of the call;
  only the imports are not made again, which are nine tenths of its time.
- The process that forks has no thread and no loop.  It ends with the test process that started it, whatever ended that,
  and takes its folder with it.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_START_S = 60.0
#: The command, and what it imports late.
CENTRE = (
    "tiercast_cli.__main__",
    "asyncio",
    "rich.table",
    "tiercast_cli.packager.send",
    "tiercast_protocol.node.control.client",
)
#: That of a machine's owner.
OWNER = (
    "tiercast_endpoint.__main__",
    "tiercast_endpoint.terminal",
    "asyncio",
    "rich.table",
    "tiercast_protocol.node.control.client",
)
#: Those of nodes, by module, with what founding and joining import late.
NODES = {
    "tiercast_server": ("tiercast_server.__main__", "tiercast_server.founding", "tiercast_protocol.node.logs"),
    "tiercast_gateway": ("tiercast_gateway.__main__", "tiercast_gateway.joining", "tiercast_protocol.node.logs"),
    "tiercast_endpoint": (*OWNER, "tiercast_endpoint.joining", "tiercast_protocol.node.logs"),
}


class Commands:
    """Runs the command."""

    def __init__(self, python: str, modules: Sequence[str] = CENTRE) -> None:
        self._python = python
        self._modules = modules
        self._guard = threading.Lock()
        self._socket: Path | None = None

    def run(
        self,
        args: Sequence[str],
        env: Mapping[str, str],
        *,
        stdin: str = "",
        folder: Path | None = None,
        within: float | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """One run, to its end.

        Raises:
            TimeoutError: it did not end `within` so many seconds.
        """
        said = {"args": list(args), "env": dict(env), "cwd": str(folder or Path.cwd()), "stdin": stdin}
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(within)
            client.connect(str(self._served(env)))
            client.sendall(json.dumps(said).encode() + b"\n")
            with client.makefile("rb") as answers:
                told: dict[str, Any] = json.loads(answers.readline() or b'{"exit": -9, "out": "", "err": "killed"}')
        return subprocess.CompletedProcess([self._modules[0], *args], told["exit"], told["out"], told["err"])

    def _served(self, env: Mapping[str, str]) -> Path:
        with self._guard:
            if self._socket is None:
                folder = Path(tempfile.mkdtemp(prefix="tcc", dir="/tmp"))
                path = folder / "s"
                process = subprocess.Popen(
                    [self._python, __file__, str(path), *self._modules],
                    env=dict(env),
                    stdin=subprocess.PIPE,
                    start_new_session=True,
                )
                atexit.register(_end, process)
                deadline = time.monotonic() + _START_S
                while not path.exists():
                    assert process.poll() is None, "the command can't be imported"
                    assert time.monotonic() < deadline, "the command was not imported in time"
                    time.sleep(0.005)
                self._socket = path
            return self._socket


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.stdin is not None:
        process.stdin.close()
    process.wait(_START_S)


def _serve(path: Path, modules: Sequence[str]) -> None:
    command, *_ = map(importlib.import_module, modules)
    gc.freeze()  # what is imported is no garbage, and a run that looked at it would copy all of it
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # who has answered needs no grave
    with socket.socket(socket.AF_UNIX) as server, selectors.DefaultSelector() as ready:
        server.bind(f"{path}.new")
        server.listen(64)
        Path(f"{path}.new").rename(path)
        ready.register(server, selectors.EVENT_READ)
        ready.register(0, selectors.EVENT_READ)
        while True:
            found = {key.fileobj for key, _ in ready.select()}
            if 0 in found:
                shutil.rmtree(path.parent, ignore_errors=True)
                return
            client, _ = server.accept()
            if os.fork() == 0:
                server.close()
                ready.close()
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                _one(client, command)
            client.close()


def _one(client: socket.socket, command: Any) -> None:
    """One run, in the process that was forked for it."""
    with client.makefile("rb") as asked:
        said = json.loads(asked.readline())
    os.environ.clear()
    os.environ.update(said["env"])
    os.chdir(said["cwd"])
    sys.argv = [command.__file__, *said["args"]]
    with tempfile.TemporaryFile() as typed, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        typed.write(said["stdin"].encode())
        typed.seek(0)
        os.dup2(typed.fileno(), 0)
        os.dup2(out.fileno(), 1)
        os.dup2(err.fileno(), 2)
        code = _main(command)
        sys.stdout.flush()
        sys.stderr.flush()
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode("utf-8", "replace"))
    client.sendall(json.dumps({"exit": code, "out": texts[0], "err": texts[1]}).encode() + b"\n")
    os._exit(0)


def _main(command: Any) -> int:
    try:
        command.main()
    except SystemExit as end:
        if isinstance(end.code, str):
            sys.stderr.write(end.code + "\n")
            return 1
        return int(end.code or 0)
    except BaseException:  # noqa: BLE001 - as the interpreter does
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    _serve(Path(sys.argv[1]), sys.argv[2:])
