"""The agent's settings: `endpoint.toml` in its state folder.

Rules
- `join` writes the file with a comment per key; the daemon only reads it.
- Who the node is stands elsewhere (`enrolled.json`, key, password): settings may be copied from node to node.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tiercast_endpoint.materials import Limits
from tiercast_protocol.node.address import TlsFiles
from tiercast_protocol.node.config import Duration, Size, setting
from tiercast_protocol.node.logs import Format, Level
from tiercast_protocol.node.owner import TransferSettings
from tiercast_protocol.node.standing import ParentSettings

TITLE = "Settings of this Tiercast endpoint.  Restart the agent after a change."
#: Below this a single chunk may be larger than the credit.
_LEAST_WINDOW = 512 << 10


def _absolute(path: Path) -> str | None:
    return None if path.is_absolute() else "an absolute path"


def _window(size: int) -> str | None:
    return None if size >= _LEAST_WINDOW else '"512KiB" or more'


@dataclass(frozen=True, slots=True)
class Settings:
    """All of `endpoint.toml`."""

    install_root: Path = setting(
        doc="Where packages are installed: each one is a link <install_root>/<package>.", check=_absolute
    )
    reserve: Size = setting(
        Size(64 << 20), doc="So much of every disk stays free; a job that would take it is refused."
    )
    staging_quota: Size | None = setting(
        None, doc="Most bytes of chunks that wait to be installed; unset is what the disk allows."
    )
    keep_previous: bool = setting(
        default=True, doc="Keep one older version of each package, so that going back needs nothing from above."
    )
    at_stop: Duration = setting(
        Duration(45.0), doc="When the agent is stopped, jobs that wait for that (--install-when shutdown) have so long."
    )
    window: Size = setting(
        Size(8 << 20),
        doc="Bytes that may be under way from the parent; more only for links of long delay.",
        check=_window,
    )
    transfer: TransferSettings = setting(TransferSettings, doc="What this machine asks of the link to its parent.")
    log_level: Level = setting("info", doc="debug, info, warning or error.")
    log_format: Format = setting("auto", doc="json, console, or auto (json when not a terminal).")
    parents: ParentSettings = setting(ParentSettings, doc="What it does while its parent is away.")
    tls: TlsFiles = setting(TlsFiles, doc="Only where the parent's broker is reached by mqtts://.")

    def limits(self) -> Limits:
        """What the installer keeps to."""
        return Limits(reserve=self.reserve, keep_previous=self.keep_previous)


def default_root(state: Path) -> Path:
    """Where packages go when nobody said: /opt for the system's own agent, else inside its folder."""
    return Path("/opt/tiercast") if state == Path("/var/lib/tiercast/endpoint") else state / "apps"
