"""How a gateway wakes a machine: settings, a port, and Wake-on-LAN behind it (docs/power.md).

Rules
- `Waker` is the port; what wakes machines otherwise (out-of-band management, AMT) is a further adapter of it and a
  further word of `by`.  A word without an adapter is refused with the settings, not when a machine is to be woken.
- A magic packet goes to the broadcast address of each network that the machine said it is in, and to that of this
  host's own, unless the settings name addresses.
- Blocking calls are a few bytes to the network; what can't be sent at all is an error with the reason.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from tiercast_gateway.power.waking import Limits
from tiercast_protocol.content.jobs.power import broadcast_of, magic_packet
from tiercast_protocol.errors import UsageError
from tiercast_protocol.node.config import Duration, setting

#: Where a magic packet goes by custom, and the broadcast address of whatever network this host is in.
_PORT, _EVERYWHERE = 9, "255.255.255.255"
_ADDRESS = re.compile(r"(?P<host>\d{1,3}(?:\.\d{1,3}){3})(?::(?P<port>\d{1,5}))?\Z")


def _by(word: str) -> str | None:
    if word == "amt":
        return '"wol"; the place of "amt" is kept, and this version has no adapter for it'
    return None if word == "wol" else '"wol"'


def _addresses(texts: tuple[str, ...]) -> str | None:
    return None if all(map(_ADDRESS.match, texts)) else 'addresses of IPv4: ["10.1.0.255", "10.2.0.255:7"]'


def _passwords(held: Mapping[str, str]) -> str | None:
    try:
        for password in held.values():
            magic_packet("00:00:00:00:00:01", password)
    except UsageError:
        return 'by machine six bytes: {pc-1 = "01:23:45:67:89:ab"}'
    return None


def _one(number: int) -> str | None:
    return None if number >= 1 else "1 or more"


@dataclass(frozen=True, slots=True)
class PowerSettings:
    """How machines below are woken, where a job, a link or a person asks for it."""

    by: str = setting("wol", doc='What wakes them: "wol" (Wake-on-LAN).', check=_by)
    wake_to: tuple[str, ...] = setting(
        (),
        doc='Where magic packets go: ["10.1.0.255"]; [] is the networks that the machines are in.',
        check=_addresses,
    )
    secure_on: dict[str, str] = setting(dict, doc="Passwords of SecureOn, by machine.", check=_passwords)
    at_once: int = setting(10, doc="So many machines are waking at one moment, not more.", check=_one)
    pause: Duration = setting(Duration(1.0), doc="Between two packets: a fuse has its limits too.")
    tries: int = setting(3, doc="So many packets before a machine did not wake.", check=_one)
    patience: Duration = setting(Duration(120.0), doc="So long after each packet it is waited for.")
    again: Duration = setting(Duration(3600.0), doc="Who did not wake is tried again after so long, while a job waits.")

    def limits(self) -> Limits:
        """What `waking` keeps to."""
        return Limits(self.at_once, self.pause, self.tries, self.patience, self.again)

    def waker(self) -> Waker:
        """The adapter of `by`."""
        return WakeOnLan(self.wake_to, self.secure_on)


@dataclass(frozen=True, slots=True)
class Asleep:
    """A machine to be woken: its name, and by hardware address the network it is in ("10.1.0.5/24")."""

    node: str
    networks: Mapping[str, str]


class Waker(Protocol):
    """Wakes machines."""

    def wake(self, machine: Asleep) -> None:
        """Do what wakes it; whether it does shows when it connects.  Blocking.

        Raises:
            OSError: it could not be done.
            UsageError: nothing is known by which it could be.
        """
        ...


class WakeOnLan:
    """Magic packets.

    Args:
        wake_to: addresses, "10.1.0.255" or "10.1.0.255:7"; none: those of the machines' networks.
        passwords: of SecureOn, by machine.
    """

    def __init__(self, wake_to: Sequence[str] = (), passwords: Mapping[str, str] | None = None) -> None:
        self._wake_to, self._passwords = tuple(map(_address, wake_to)), passwords or {}

    def wake(self, machine: Asleep) -> None:
        """As `Waker`."""
        if not machine.networks:
            raise UsageError(
                code="power.address",
                what="no hardware address of it is known",
                todo=f"Machines say it with their inventory: see `tiercast inventory show {machine.node}`.",
            )
        error: OSError | None = None
        sent = 0
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
            out.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            for mac, network in machine.networks.items():
                packet = magic_packet(mac, self._passwords.get(machine.node, ""))
                for address in self._wake_to or _of(network):
                    try:
                        out.sendto(packet, address)
                        sent += 1
                    except OSError as failed:
                        error = failed
        if not sent and error is not None:
            raise error


def _address(text: str) -> tuple[str, int]:
    match = _ADDRESS.match(text)
    if match is None:
        raise ValueError(f"{text!r} is no address")
    return match["host"], int(match["port"] or _PORT)


def _of(network: str) -> list[tuple[str, int]]:
    own = broadcast_of(network)
    return [(address, _PORT) for address in dict.fromkeys((own, _EVERYWHERE)) if address]
