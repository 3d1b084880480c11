"""A PostgreSQL server of the tests' own: in a folder of its own, on a socket in it, gone with the process.

Rules
- However the process ends, the kernel ends the server with it: by the signal upon which it drops its connections and
  its shared memory at once (SIGQUIT).  A folder of which that was the end is removed by the next one that starts.
- Nothing of a server that the machine may run is touched: other folder, no port, other socket.
- It refuses to run as root, so as root it runs as the user that its package made.
- Each test gets a database of its own.  Most borrow one at the newest schema that is emptied for the next: making one
  and above all dropping one (the server syncs everything for it) takes ten times as long.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

from tiercast_protocol.node.child import tied
from tiercast_server.database.engine import Database

_USER = "postgres"
_GROUND = "ground"
_PREFIX = "tcpg"
#: Whoever is still connected goes, then every row (no key of another table holds it back), and numbers begin anew.
_EMPTY = """
DO $$ DECLARE one record; BEGIN
PERFORM pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid();
SET LOCAL session_replication_role = replica;
FOR one IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'alembic_version' LOOP
    EXECUTE format('DELETE FROM %I', one.tablename);
END LOOP;
PERFORM setval(oid, 1, false) FROM pg_class WHERE relkind = 'S';
END $$
"""
_PATIENCE_S = 60
#: A folder younger than this may be one that is being made.
_YOUNG_S = 600


def programs() -> Path | None:
    """The folder of the newest installed server's programs; None when there is none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    return found[-1].parent if found else None


class Postgres:
    """A running server."""

    def __init__(self, bin_folder: Path, folder: Path) -> None:
        self._bin, self._folder = bin_folder, folder
        self._number = count()
        self._free: list[str] = []

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
        name = self._make(_GROUND if ground else "template0")
        try:
            yield self.address(name)
        finally:
            self.sql(f"DROP DATABASE {name} WITH (FORCE)")

    @contextmanager
    def borrowed(self) -> Iterator[str]:
        """The address of an empty database at the newest schema, for who changes no table's shape."""
        name = self._free.pop() if self._free else self._make(_GROUND)
        yield self.address(name)
        self.sql(_EMPTY, database=name)
        self._free.append(name)

    def _make(self, template: str) -> str:
        name = f"t{next(self._number)}"
        self.sql(f"CREATE DATABASE {name} TEMPLATE {template}")
        return name

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
    owner = [f"--reuid={_USER}", f"--regid={_USER}", "--init-groups"] if os.geteuid() == 0 else []
    sweep()
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir="/tmp"))
    try:
        if owner:
            shutil.chown(folder, _USER, _USER)
        data = folder / "data"
        make = [bin_folder / "initdb", "-D", data, "-U", _USER, "-A", "trust", "-E", "UTF8", "--locale=C", "-N"]
        subprocess.run(["setpriv", *owner, *make], check=True, stdout=subprocess.DEVNULL, cwd="/")
        # Set up without syncing, for a test's database is worth nothing; what runs says that it syncs, and does.
        options = ("listen_addresses=", f"unix_socket_directories={folder}", "max_connections=50", "jit=off")
        # Changing the user lets go of the tie, so it is made again behind that.
        tie = [shutil.which("setpriv") or "/usr/bin/setpriv", *owner, "--pdeathsig=QUIT"]
        command = [*tie, bin_folder / "postgres", "-D", data, *(word for option in options for word in ("-c", option))]
        with (folder / "log").open("w") as log:
            server = subprocess.Popen(tied([*map(str, command)]), stdout=log, stderr=log, cwd="/")
        try:
            _await_ready(server, folder)
            yield Postgres(bin_folder, folder)
        finally:
            server.send_signal(signal.SIGQUIT)
            server.wait(_PATIENCE_S)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _await_ready(server: subprocess.Popen[bytes], folder: Path) -> None:
    """Return when it takes connections: the last line of its own file says so."""
    own, until = folder / "data/postmaster.pid", time.monotonic() + _PATIENCE_S
    while not (own.exists() and own.read_text().rstrip().endswith("ready")):
        if server.poll() is not None or time.monotonic() > until:
            raise RuntimeError(f"PostgreSQL does not start: {(folder / 'log').read_text()}")
        time.sleep(0.01)


def sweep() -> None:
    """Remove the folders of servers that ended with their process; none of a living one, nor of one being made."""
    for folder in Path("/tmp").glob(f"{_PREFIX}*"):
        with suppress(OSError):
            if time.time() - folder.stat().st_mtime > _YOUNG_S and not (folder / "data/postmaster.pid").exists():
                shutil.rmtree(folder, ignore_errors=True)
