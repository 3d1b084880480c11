"""What a machine says of itself: its facts, and the groups that it wants to be in.

Rules
- An endpoint says it, signed with its own key, with a number that only rises: the highest stands, nobody else can say
  it, and any relay may pass it on (docs/protocol.md, section 7).
- `FACTS` is the one table of what can be asked of a machine; a fact that a node did not say is unknown, never guessed.
- What can't be kept by every tier is refused here: numbers, texts and maps have bounds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import msgspec

from tiercast_protocol.content.sealed.digest import DIGEST_SIZE
from tiercast_protocol.content.trust.keys import PrivateKey
from tiercast_protocol.content.trust.signed import opened, signed
from tiercast_protocol.wire.topics import valid_name

DOMAIN = "tiercast inventory 1"
#: Numbers stay below this, texts and maps are at most so long.
_MOST, LONGEST, MOST_ENTRIES = 1 << 53, 255, 1000
#: Most groups that a node may ask for.
MOST_GROUPS = 64

#: Name of a fact: what it is.
FACTS: dict[str, str] = {
    "name": "name of the node",
    "os": 'family of the operating system, "linux"',
    "distribution": 'which one, "debian"',
    "version": 'its version, "12"',
    "kernel": 'release of the kernel, "6.1.0-18-amd64"',
    "architecture": '"x86_64", "aarch64"',
    "cpus": "number of processors",
    "memory": "bytes of memory",
    "disk_free": "bytes free where the agent keeps its state, to about a twentieth of the disk",
    "disk_total": "bytes of that disk",
    "python": 'version of Python that the agent runs on, "3.11.2"',
    "agent": "version of the agent",
    "packages": "map from installed package to its version",
    "labels": "map of what the owner set under `labels` in endpoint.toml",
    "custom": "map of what the owner's own programs found: PROGRAM.NAME",
    "failed": "map from each of these programs that failed to the reason",
    "networks": 'map from hardware address to the network that it is in, "10.1.0.5/24"',
    "software": "map from every piece of installed software to its version; Python's are called pip:NAME",
}
#: What travels as a list of its own (`content.software`).
SOFTWARE = "software"
Scalar: TypeAlias = "str | int | float | bool"
#: Most facts of programs, most programs that are named as failed, most networks.
MOST_CUSTOM, MOST_FAILED, MOST_NETWORKS = 200, 50, 16


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """The facts of one machine; see `FACTS`."""

    name: str
    os: str
    distribution: str
    version: str
    kernel: str
    architecture: str
    cpus: int
    memory: int
    disk_free: int
    disk_total: int
    python: str
    agent: str
    packages: dict[str, str] = {}
    labels: dict[str, str] = {}
    custom: dict[str, str | int | float | bool] = {}
    failed: dict[str, str] = {}
    networks: dict[str, str] = {}

    def __post_init__(self) -> None:
        """Refuse what not every tier could keep."""
        texts = (self.os, self.distribution, self.version, self.kernel, self.architecture, self.python, self.agent)
        if not valid_name(self.name) or max(map(len, texts)) > LONGEST:
            raise ValueError("a text is too long, or the name is none")
        if not all(0 <= number < _MOST for number in (self.cpus, self.memory, self.disk_free, self.disk_total)):
            raise ValueError("a number is out of range")
        for held in (self.packages, self.labels, self.failed, self.networks):
            _check_map(held)
        if len(self.custom) > MOST_CUSTOM or not all(map(_fits, self.custom, self.custom.values())):
            raise ValueError("too many facts of programs, or too long ones")


def _check_map(held: Mapping[str, str]) -> None:
    if len(held) > MOST_ENTRIES or any(len(key) > LONGEST or len(value) > LONGEST for key, value in held.items()):
        raise ValueError("a map has too many entries, or too long ones")


def _fits(name: str, value: Scalar) -> bool:
    if isinstance(value, str):
        return max(len(name), len(value)) <= LONGEST
    return len(name) <= LONGEST and -_MOST < value < _MOST  # a number that is none is not


class Inventory(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What `node` says of itself.

    Attributes:
        seq: rises with every word of this kind; the highest of the highest generation stands.
        at: milliseconds since 1970.
        groups: the self-joining groups that it wants to be in.
        software: the digest of its list (`content.software`); b"" where it keeps none.
    """

    region: str
    node: str
    generation: int
    seq: int
    at: int
    facts: Facts
    groups: list[str] = []
    software: bytes = b""

    def __post_init__(self) -> None:
        """Refuse what can't be one."""
        if not valid_name(self.node) or self.facts.name != self.node:
            raise ValueError("node is no name, or the facts are another's")
        if not all(0 <= number < _MOST for number in (self.generation, self.seq, self.at)):
            raise ValueError("a number is out of range")
        if len(self.software) not in {0, DIGEST_SIZE}:
            raise ValueError("software is no digest")
        if len(self.groups) > MOST_GROUPS or not all(map(valid_name, self.groups)):
            raise ValueError("too many groups, or one is no name")


def sign_inventory(inventory: Inventory, key: PrivateKey) -> tuple[bytes, bytes]:
    """The inventory's bytes and the node's signature of them."""
    return signed(inventory, DOMAIN, key)


def open_inventory(data: bytes, signature: bytes, public_key: bytes) -> Inventory:
    """The inventory in `data`, proved to be of the holder of `public_key`.

    Raises:
        SignatureInvalid: not signed by this key.
        MessageInvalid: signed, and yet nothing that this node can read.
    """
    return opened(Inventory, DOMAIN, data, signature, public_key, "inventory")
