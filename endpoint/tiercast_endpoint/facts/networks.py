"""The networks that this machine is in, by hardware address: how its gateway finds it asleep (docs/power.md).

Rules
- Only Ethernet with an address of IPv4, and never the loopback: what can be woken by a packet in its own network.
- What can't be read is left out.
"""

from __future__ import annotations

import fcntl
import ipaddress
import socket
import struct
from contextlib import suppress
from pathlib import Path

from tiercast_protocol.content.facts.inventory import MOST_NETWORKS

_CLASS = Path("/sys/class/net")
_ETHERNET, _NONE = "1", "00:00:00:00:00:00"
_SIOCGIFADDR, _SIOCGIFNETMASK = 0x8915, 0x891B


def read_networks(folder: Path = _CLASS) -> dict[str, str]:
    """By hardware address the machine's address and network, "10.1.0.5/24"."""
    found: dict[str, str] = {}
    with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        for interface in sorted(folder.iterdir()):
            with suppress(OSError, ValueError):
                mac = (interface / "address").read_text(encoding="ascii").strip().lower()
                kind = (interface / "type").read_text(encoding="ascii").strip()
                if kind == _ETHERNET and mac != _NONE:
                    found[mac] = _network(asking, interface.name)
    return dict(sorted(found.items())[:MOST_NETWORKS])


def _network(asking: socket.socket, interface: str) -> str:
    address, mask = (_asked(asking, request, interface) for request in (_SIOCGIFADDR, _SIOCGIFNETMASK))
    return str(ipaddress.IPv4Interface(f"{address}/{mask}"))


def _asked(asking: socket.socket, request: int, interface: str) -> str:
    answer = fcntl.ioctl(asking.fileno(), request, struct.pack("256s", interface.encode()[:15]))
    return socket.inet_ntoa(answer[20:24])
