"""What a service manager does for the root half: listens at its socket, begins it with that when somebody asks.

Rules
- One process at a time (`Accept=no`); when it has ended, the socket is listened at again.
- Whatever runs is ended at the exit.
"""

from __future__ import annotations

import os
import select
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

#: Puts the socket where a service manager does, and becomes the program.
_HAND_ON = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.set_inheritable(3, True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1")
os.execv(sys.argv[2], sys.argv[2:])
"""


@dataclass(slots=True)
class Activation:
    """From entry to exit.

    Attributes:
        path: of the socket.
        command: the program, by its absolute path.
        environment: of it.
        codes: how it ended, each time.
    """

    path: Path
    command: Sequence[str]
    environment: Mapping[str, str]
    codes: list[int] = field(default_factory=list)
    _sock: socket.socket = field(default_factory=lambda: socket.socket(socket.AF_UNIX), repr=False)
    _stop: threading.Event = field(default_factory=threading.Event, repr=False)
    _process: subprocess.Popen[bytes] | None = None
    _thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._sock.bind(str(self.path))
        self._sock.listen()
        self._thread = threading.Thread(target=self._loop, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
        if self._thread is not None:
            self._thread.join()
        self._sock.close()

    @property
    def pids(self) -> list[int]:
        """Its process, while it runs."""
        process = self._process
        return [process.pid] if process is not None and process.poll() is None else []

    def _loop(self) -> None:
        while not self._stop.is_set():
            if not select.select([self._sock], [], [], 0.2)[0]:
                continue
            fd = self._sock.fileno()
            self._process = subprocess.Popen(
                [sys.executable, "-c", _HAND_ON, str(fd), *self.command],
                pass_fds=[fd],
                env=dict(self.environment),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            self.codes.append(self._process.wait())


def socket_of(folder: Path) -> Path:
    """A path for the socket, short enough for the kernel."""
    return folder / f"root-{os.getpid()}.sock"
