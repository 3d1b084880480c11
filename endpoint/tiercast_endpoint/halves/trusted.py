"""What the root half goes by: `root.toml` and `trusted.json` in root's own folder (docs/agent.md, "Two halves").

Rules
- Nobody but root may write there, or the half does not start: what stands there decides what is installed.
- Whose orders count was written down once, by root, from what the agent had when it joined; the network half can't
  change it.  Who joins again, or is given another key, says so to root again.
"""

from __future__ import annotations

import json
import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path

from tiercast_endpoint.jobs.orders import Identity
from tiercast_endpoint.jobs.powering import PowerSettings
from tiercast_endpoint.settings import _absolute, _labels, _variables, _windows
from tiercast_endpoint.trees.materials import Limits
from tiercast_endpoint.trees.root_folder import STAGING, TREES
from tiercast_protocol.errors import StateError, UsageError
from tiercast_protocol.node import config, joined, settings_file
from tiercast_protocol.node.config import Duration, Size, setting
from tiercast_protocol.node.logs import Format, Level
from tiercast_protocol.transfer import calendar

CONFIG, TRUSTED = "root.toml", "trusted.json"
TITLE = "Settings of the root half of this machine's Tiercast agent.  They count from its next start, which is soon."
_KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class RootSettings:
    """All of `root.toml`."""

    install_root: Path = setting(doc="Where packages are installed.  Nobody but root writes there.", check=_absolute)
    user: str = setting(doc="The user of the network half: nobody else (but root) may ask for anything.")
    prefix: Path = setting(
        Path("/"), doc="Packages place files of the machine (their actions) below this folder.", check=_absolute
    )
    reserve: Size = setting(Size(64 << 20), doc="So much of the disk stays free.")
    keep_previous: bool = setting(default=True, doc="Keep one older version of each package for going back.")
    install_window: str = setting(
        "", doc="Packages are installed and removed only inside, whatever the network half says.", check=_windows
    )
    labels: dict[str, str] = setting(
        dict, doc="As in endpoint.toml; what packages choose their files and fill in their variables by.", check=_labels
    )
    variables: dict[str, str] = setting(dict, doc="As in endpoint.toml.", check=_variables)
    idle: Duration = setting(Duration(10.0), doc="It ends when nobody has asked for so long.")
    power: PowerSettings = setting(PowerSettings, doc="What ends the machine's present life when the region orders it.")
    log_level: Level = setting("info", doc="debug, info, warning or error.")
    log_format: Format = setting("auto", doc="json, console, or auto (json when not a terminal).")

    def limits(self) -> Limits:
        """What the installer keeps to."""
        windows = calendar.parse(self.install_window) if self.install_window else ()
        return Limits(reserve=self.reserve, keep_previous=self.keep_previous, windows=windows, ask_again_s=())

    def uid(self) -> int:
        """The network half's user.  Raises UsageError."""
        try:
            return pwd.getpwnam(self.user).pw_uid
        except KeyError as error:
            raise UsageError(
                code="root.user",
                what=f"This machine has no user {self.user!r}.",
                where=CONFIG,
                todo="Make the user (systemd-sysusers), or name the one that the agent runs as.",
            ) from error


@dataclass(frozen=True, slots=True)
class Trusted:
    """Root's folder, read."""

    folder: Path
    settings: RootSettings
    me: Identity


def load(folder: Path) -> Trusted:
    """Read root's folder.

    Raises:
        UsageError: nothing was written there yet.
        StateError: others may write there, or it is damaged.
    """
    try:
        kept = json.loads((folder / TRUSTED).read_text("utf-8"))
        me = Identity(
            str(kept["region"]),
            bytes.fromhex(kept["region_key"]),
            str(kept["name"]),
            bytes.fromhex(kept["public_key"]),
            int(kept["generation"]),
        )
    except FileNotFoundError as error:
        raise UsageError(
            code="root.unknown",
            what="The root half does not know yet whose orders count.",
            where=str(folder),
            todo="Join the region, then run `tiercast-endpoint root init` as root.",
        ) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _damaged(folder) from error
    if {len(me.region_key), len(me.public_key)} != {_KEY_BYTES}:
        raise _damaged(folder)
    for path in (folder, folder / TRUSTED, folder / CONFIG):
        _check_alone(path)
    return Trusted(folder, config.load(folder / CONFIG, RootSettings), me)


def write(folder: Path, settings: RootSettings, me: joined.Enrolled) -> None:
    """Make root's folder from what this machine joined with; settings that stand there stay.

    Raises:
        StateError: others may write there.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _check_alone(folder)
    said = {
        "region": me.region,
        "region_key": me.region_key.hex(),
        "name": me.name,
        "public_key": me.key.public.hex(),
        "generation": me.generation,
    }
    joined.write_private(folder / TRUSTED, json.dumps(said, indent=1) + "\n")
    if not (folder / CONFIG).exists():
        settings_file.write(folder / CONFIG, settings, title=TITLE)


def check_root(path: Path) -> None:
    """See that nobody but us can change what stands in the install root `path`, or put another in its place.

    Raises:
        StateError: somebody can; the agent may have installed there itself, before it was split in two.
    """
    for above in path.resolve().parents:
        at = above.stat()
        shared = at.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not at.st_mode & stat.S_ISVTX
        if at.st_uid not in {0, os.geteuid()} or shared:
            raise StateError(
                str(above), "others than root may change what is above the install root", "Choose another one."
            )
    shelves = [path / TREES, path / STAGING, *(path / TREES).iterdir()]
    for place in (path, *shelves, *(tree for shelf in shelves[2:] if shelf.is_dir() for tree in shelf.iterdir())):
        at = place.lstat()
        if at.st_uid != os.geteuid() or at.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            todo = f"Remove what the agent installed there by itself, or look at it and then: chown -R root: {path}."
            raise StateError(str(place), "others than root may write there", todo)


def _check_alone(path: Path) -> None:
    at = path.lstat()
    if stat.S_ISLNK(at.st_mode) or at.st_uid != os.geteuid() or at.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        todo = f"Let it belong to root, with mode 0700: chown root: {path}; chmod go-w {path}."
        raise StateError(str(path), "others than root may write there", todo)


def _damaged(folder: Path) -> StateError:
    return StateError(str(folder / TRUSTED), "it is damaged", "Run `tiercast-endpoint root init` again, as root.")
