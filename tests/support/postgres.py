"""A PostgreSQL server of the tests' own: in a folder of its own, on a socket in it, gone with the process.

Rules
- Nothing of a server that the machine may run is touched: other folder, no port, other socket.
- It refuses to run as root, so as root it runs as the user that its package made.
- Each test gets a database of its own, copied from one that stands at the newest schema.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from tiercast_server.database.engine import Database

_USER = "postgres"
_GROUND = "ground"


def programs() -> Path | None:
    """The folder of the newest installed server's programs; None when there is none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    return found[-1].parent if found else None


class Postgres:
    """A running server."""

    def __init__(self, bin_folder: Path, folder: Path) -> None:
        self._bin, self._folder = bin_folder, folder
        self._number = count()

    def address(self, name: str) -> str:
        """The address of the database `name`."""
        return f"postgresql://{_USER}@/{name}?host={self._folder}"

    def make_ground(self) -> None:
        """Make the database that others are copied from."""
        self.sql(f"CREATE DATABASE {_GROUND} TEMPLATE template0")

        async def migrate() -> None:
            async with Database.open(self.address(_GROUND)):
                pass

        asyncio.run(migrate())

    @contextmanager
    def database(self, *, ground: bool = True) -> Iterator[str]:
        """The address of a new database, gone afterwards; `ground`: at the newest schema, else empty."""
        name = f"t{next(self._number)}"
        self.sql(f"CREATE DATABASE {name} TEMPLATE {_GROUND if ground else 'template0'}")
        try:
            yield self.address(name)
        finally:
            self.sql(f"DROP DATABASE {name} WITH (FORCE)")

    def sql(self, statement: str, *, database: str = "postgres") -> str:
        """Run a statement; what it prints."""
        done = subprocess.run(
            [
                self._bin / "psql",
                "-X",
                "-A",
                "-t",
                "-q",
                "-h",
                self._folder,
                "-U",
                _USER,
                "-d",
                database,
                "-c",
                statement,
            ],
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout.strip()


@contextmanager
def running() -> Iterator[Postgres]:
    """Make and start a server; it and its folder are gone afterwards."""
    bin_folder = programs()
    if bin_folder is None:
        raise RuntimeError("the tests need PostgreSQL: install the package postgresql")
    as_user = ["setpriv", f"--reuid={_USER}", f"--regid={_USER}", "--init-groups"] if os.geteuid() == 0 else []
    folder = Path(tempfile.mkdtemp(prefix="tcpg", dir="/tmp"))
    try:
        if as_user:
            shutil.chown(folder, _USER, _USER)
        data = folder / "data"
        _run(
            [*as_user, bin_folder / "initdb", "-D", data, "-U", _USER, "-A", "trust", "-E", "UTF8", "--locale=C", "-N"]
        )
        # Set up without syncing, for a test's database is worth nothing; what runs says that it syncs, and does.
        options = f"-c listen_addresses= -c unix_socket_directories={folder} -c max_connections=50 -c jit=off"
        log = folder / "log"
        control = [*as_user, bin_folder / "pg_ctl", "-D", data, "-w", "-l", log]
        _run([*control, "-o", options, "start"])
        try:
            yield Postgres(bin_folder, folder)
        finally:
            _run([*control, "-m", "immediate", "stop"])
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(command: list[str | Path]) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd="/")
