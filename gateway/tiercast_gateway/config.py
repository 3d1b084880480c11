"""The settings of a gateway: `gateway.toml` in its state folder, written by `join`, changed by hand.

Rules
- Who the gateway is and where its parent is does not stand here but in what it was enrolled with.
- Every key has a default; the file that `join` writes shows all of them.
"""

from __future__ import annotations

from dataclasses import dataclass

from tiercast_gateway.depot import marks
from tiercast_gateway.power.power import PowerSettings
from tiercast_protocol.errors import UsageError
from tiercast_protocol.node.address import TlsFiles, parse_address
from tiercast_protocol.node.brokers import BrokerConfig
from tiercast_protocol.node.config import Duration, Size, setting
from tiercast_protocol.node.logs import Format, Level
from tiercast_protocol.node.owner import TransferSettings
from tiercast_protocol.node.standing import ParentSettings

TITLE = "Settings of this Tiercast gateway.  Restart it after a change."


def _not_negative(number: int) -> str | None:
    return None if number >= 0 else "0 or more"


@dataclass(frozen=True, slots=True)
class DepotSettings:
    """What the gateway may keep."""

    quota: Size = setting(Size(0), doc='Most bytes of packages to keep, such as "200GiB"; 0 is what the disk has.')
    reserve: Size = setting(Size(64 << 20), doc="Bytes of the disk that are left free whatever comes.")
    retention: Duration = setting(
        Duration(0.0), doc='A package that nobody asked for so long ("90d") goes; 0 keeps it while there is room.'
    )
    high: str = setting(
        "100%",
        doc='At so much of the quota ("95%", "180GiB") packages that nobody needs begin to go.',
        check=marks.check,
    )
    low: str = setting("90%", doc="They go on going until no more than this is left.", check=marks.check)
    audit: Duration = setting(
        Duration(30 * 86400.0),
        doc='Every chunk is read and proved once in this time; 0 only by "tiercast depot audit".',
    )


@dataclass(frozen=True, slots=True)
class LogSettings:
    """What is logged."""

    level: Level = setting("info", doc='"debug", "info", "warning" or "error".')
    format: Format = setting("auto", doc='"json", "console", or "auto": console on a terminal.')


@dataclass(frozen=True, slots=True)
class GuestSettings:
    """Nodes from elsewhere, whose own parent is away."""

    places: int = setting(64, doc="How many are let in at once; 0 lets nobody in.", check=_not_negative)
    per_minute: int = setting(120, doc="How many are let in within a minute.", check=_not_negative)


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """The whole file."""

    broker: BrokerConfig = setting(BrokerConfig, doc="The broker that this gateway's children connect to.")
    depot: DepotSettings = setting(DepotSettings, doc="What it keeps of the packages that pass.")
    transfer: TransferSettings = setting(TransferSettings, doc="What it asks of the link to its parent.")
    tls: TlsFiles = setting(TlsFiles, doc="For the parent's broker, where that is reached by mqtts://.")
    parents: ParentSettings = setting(ParentSettings, doc="What it does while its own parent is away.")
    guests: GuestSettings = setting(GuestSettings, doc="Whom it lets in while their parents are away.")
    power: PowerSettings = setting(PowerSettings, doc="How it wakes the machines below it.")
    log: LogSettings = setting(LogSettings, doc="What it logs.")


def check_own_broker(broker: BrokerConfig, parent_url: str) -> None:
    """Check that a gateway with these settings has a broker other than its parent's, at `parent_url`.

    Raises:
        UsageError: broker.shared: there it would be two nodes of one name, each pushing the other out.
    """
    if "://" in broker.mode and parse_address(broker.mode) == parse_address(parent_url):
        raise UsageError(
            code="broker.shared",
            what="That is the broker of this gateway's parent; a gateway needs one of its own.",
            where=broker.mode,
            todo="Name another broker, or let the gateway start its own: --broker auto.",
        )
