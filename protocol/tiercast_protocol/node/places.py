"""Where a daemon keeps its things, unless told otherwise.

Rules
- One folder per daemon: settings, state, control socket.  `<base>/server`, `/gateway`, `/endpoint`.
- The base is $TIERCAST_HOME, else /var/lib/tiercast for root, else ~/.local/state/tiercast.
- A socket's path may have 107 bytes; a longer one moves to a short folder of our own, whose name is
  derived from the long path, so that daemon and command line find the same.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

#: Longest path used for a UNIX socket; the kernel's limit is 107, and a broker may append to it.
MAX_SOCKET_PATH = 100


@dataclass(frozen=True, slots=True)
class Place:
    """The folder of one daemon (`daemon`: server, gateway or endpoint) and the files in it that others look for."""

    daemon: str
    folder: Path

    @property
    def config(self) -> Path:
        """Its settings."""
        return self.folder / f"{self.daemon}.toml"

    @property
    def socket(self) -> Path:
        """Its control socket."""
        return socket_path(self.folder, "control.sock")


def base() -> Path:
    """The folder that holds all daemons' folders."""
    if home := os.environ.get("TIERCAST_HOME"):
        return Path(home).absolute()
    if os.geteuid() == 0:
        return Path("/var/lib/tiercast")
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "tiercast"


def place(daemon: str, folder: Path | None = None) -> Place:
    """The place of `daemon`: `folder` when it was given, else the default."""
    return Place(daemon, folder.absolute() if folder is not None else base() / daemon)


def socket_path(folder: Path, name: str) -> Path:
    """The path for a UNIX socket `name` of `folder`, short enough for the kernel."""
    plain = folder / name
    if len(os.fsencode(plain)) <= MAX_SOCKET_PATH:
        return plain
    digest = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    short = Path(runtime) if runtime else Path("/tmp")  # noqa: S108 - a folder of our own below it, mode 0700, owner checked
    return short / f"tiercast-{os.geteuid()}-{digest}" / name
