"""What a sub-tree needs to know before it opens.

Rules
- Values only; whoever makes them out of settings or an enrolment has checked them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from tiercast_gateway.depot.marks import Marks
from tiercast_gateway.power.power import PowerSettings
from tiercast_protocol.content.trust.keys import PrivateKey
from tiercast_protocol.content.trust.proving import Prover
from tiercast_protocol.node.brokers import BrokerConfig

MIB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class SubTreeConfig:
    """What a sub-tree needs to know.

    Attributes:
        me, region, role: this node's name, its region, "gateway" or "server".
        folder: state folder; `depot/`, `broker/` and `node.db` are made in it.
        region_key: the region's public key, which signs orders.
        key, generation: this node's own key pair and the generation of its name; None on the server.
        prover: proves to children who this node is.
        broker: settings of this node's own broker.
        quota: most bytes of chunks; None is what the disk has.
        reserve: bytes to leave free on the disk.
        retention: seconds after which a package that nobody asked for goes; None never.
        marks: when the depot begins to let go, and when it stops.
        audit: seconds in which every chunk is proved once; None is only by command.
        guests, guests_per_minute: most nodes from elsewhere that are let in while their own parents are away.
        power: how machines are woken.
    """

    me: str
    region: str
    role: str
    folder: Path
    region_key: bytes
    key: PrivateKey | None = None
    generation: int = 0
    prover: Prover | None = None
    broker: BrokerConfig = field(default_factory=BrokerConfig)
    quota: int | None = None
    reserve: int = 64 * MIB
    retention: float | None = None
    marks: Marks = field(default_factory=Marks)
    audit: float | None = None
    guests: int = 64
    guests_per_minute: int = 120
    power: PowerSettings = field(default_factory=PowerSettings)
