"""The settings of a server: `server.toml` in its state folder, written by `init`, changed by hand.

Rules
- Who the server is and which region it serves does not stand here but in its database.
- Every key has a default; the file that `init` writes shows all of them.
"""

from __future__ import annotations

from dataclasses import dataclass

from tiercast_gateway.config import GuestSettings, LogSettings
from tiercast_gateway.power.power import PowerSettings
from tiercast_protocol.node.brokers import BrokerConfig
from tiercast_protocol.node.config import Duration, Size, setting
from tiercast_server.jobs.checks import CONFIRM_ABOVE

TITLE = "Settings of this Tiercast server.  Restart it after a change."


@dataclass(frozen=True, slots=True)
class LibrarySettings:
    """Where packages lie, and how much room they leave."""

    quota: Size = setting(Size(0), doc='Most bytes of packages to keep, such as "500GiB"; 0 is what the disk has.')
    reserve: Size = setting(Size(64 << 20), doc="Bytes of the disk that are left free whatever comes.")
    audit: Duration = setting(
        Duration(30 * 86400.0),
        doc='Every chunk is read and proved once in this time; 0 only by "tiercast depot audit".',
    )


@dataclass(frozen=True, slots=True)
class DatabaseSettings:
    """Where the region's records lie."""

    url: str = setting(
        "",
        doc='"" is a file in the state folder (SQLite); or "postgresql://USER@HOST/NAME", without a password.',
    )


@dataclass(frozen=True, slots=True)
class PatchSettings:
    """What is made so that upgrades travel as differences."""

    make: bool = setting(
        True,
        doc="Make patches by itself, at the lowest priority, from versions that are installed to new and ordered ones.",
    )


def _not_negative(number: int) -> str | None:
    return None if number >= 0 else "0 or more"


@dataclass(frozen=True, slots=True)
class JobSettings:
    """What is asked of whoever orders."""

    confirm_above: int = setting(
        CONFIRM_ABOVE, doc="A job for more nodes than this wants their exact number (--confirm).", check=_not_negative
    )
    tested_only: bool = setting(
        default=False, doc='Packages are ordered only after "tiercast package test" of them ended well.'
    )


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """The whole file."""

    broker: BrokerConfig = setting(BrokerConfig, doc="The broker that the server's children connect to.")
    database: DatabaseSettings = setting(DatabaseSettings, doc="The records of the region.")
    library: LibrarySettings = setting(LibrarySettings, doc="The packages of the region.")
    patches: PatchSettings = setting(PatchSettings, doc="Patches between versions of a package.")
    guests: GuestSettings = setting(GuestSettings, doc="Whom it lets in while their parents are away.")
    jobs: JobSettings = setting(JobSettings, doc="What is asked of whoever orders.")
    power: PowerSettings = setting(PowerSettings, doc="How it wakes the machines that are its own children.")
    log: LogSettings = setting(LogSettings, doc="What it logs.")
