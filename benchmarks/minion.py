"""A salt-minion beside us: from PyPI into an environment of its own, a real master beside it, its key accepted.

Rules
- Settings are those that a sysadmin would need: addresses, folders, one id; nothing that makes it larger or busier.
- It gets nothing of our own environment that names Python's folders.
- It counts once the master has had an answer from it.  All of its processes count.
"""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from harness import children, note
from region import RegionError, free_port

_SECONDS = 180


@dataclass(slots=True)
class Salt:
    """Master and minion from entry to exit.

    Attributes:
        folder: for environment, settings, keys and logs.
    """

    folder: Path
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __enter__(self) -> Self:
        note("salt: installing it from PyPI ...")
        subprocess.run([sys.executable, "-m", "venv", str(self.folder / "venv")], check=True)
        pip = [self._tool("pip"), "install", "-q", "--disable-pip-version-check", "salt"]
        subprocess.run(pip, check=True, stdout=sys.stderr)
        publish, answers = free_port(), free_port()
        master = f"interface: 127.0.0.1\npublish_port: {publish}\nret_port: {answers}\nauto_accept: True\n"
        minion = f"master: 127.0.0.1\nmaster_port: {answers}\npublish_port: {publish}\nid: pc\n"
        try:
            self._start("master", master)
            self._start("minion", minion)
            self._wait()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for process in reversed(self.processes):
            for pid in (process.pid, *family(process.pid)):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGTERM if pid == process.pid else signal.SIGKILL)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    @property
    def pids(self) -> list[int]:
        """All processes of the minion."""
        first = self.processes[1].pid
        return [first, *family(first)]

    def version(self) -> str:
        """As it says itself."""
        return subprocess.run(
            [self._tool("salt-minion"), "--version"], check=True, capture_output=True, text=True, env=_environment()
        ).stdout.strip()

    def _tool(self, name: str) -> str:
        return str(self.folder / "venv" / "bin" / name)

    def _start(self, role: str, settings: str) -> None:
        place = self.folder / role
        place.mkdir()
        kept = f"root_dir: {place}\npki_dir: {place}/pki\ncachedir: {place}/cache\nsock_dir: {place}/s\n"
        (place / role).write_text(f"{settings}{kept}log_file: {place}/log\npidfile: {place}/pid\nuser: {_user()}\n")
        command = [self._tool(f"salt-{role}"), "-c", str(place), "-l", "quiet"]
        self.processes.append(
            subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=_environment(),
            )
        )

    def _wait(self) -> None:
        deadline, heard = time.monotonic() + _SECONDS, ""
        ping = [self._tool("salt"), "-c", str(self.folder / "master"), "-t", "5", "pc", "test.ping", "--out=json"]
        while time.monotonic() < deadline:
            said = subprocess.run(ping, check=False, capture_output=True, text=True, timeout=60, env=_environment())
            if "true" in said.stdout:
                return
            heard = said.stdout + said.stderr
            time.sleep(1)
        raise RegionError(f"the minion does not answer:\n{heard}")


def family(pid: int) -> list[int]:
    """All processes below `pid`."""
    return [one for child in children(pid) for one in (child, *family(child))]


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


def _user() -> str:
    return pwd.getpwuid(os.geteuid()).pw_name
