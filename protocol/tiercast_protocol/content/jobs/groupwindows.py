"""The windows of a machine's groups, as the region signs them for it (docs/protocol.md, section 14).

Rules
- One signed list for one node at one generation; the one that was issued later stands, so a lost, late or repeated one
  does no harm, and no relay can open a window that is shut.
- Each is a text as `transfer.calendar` reads it; what can't be read is refused as a whole, and what stood before
  stands.
"""

from __future__ import annotations

import msgspec

from tiercast_protocol.content.trust.keys import PrivateKey
from tiercast_protocol.content.trust.signed import opened, signed
from tiercast_protocol.wire.topics import valid_name

DOMAIN = "tiercast group windows 1"
#: Most groups with a window that one machine is in.
MOST = 256


class GroupWindows(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """When packages may be installed on `node`: inside all of these, each a group's name and its window."""

    region: str
    node: str
    generation: int
    issued: int
    windows: list[tuple[str, str]] = []

    def __post_init__(self) -> None:
        """Refuse what can't be meant."""
        names = (self.region, self.node, *(group for group, _ in self.windows))
        if not all(map(valid_name, names)) or len(self.windows) > MOST:
            raise ValueError("a name is none, or there are too many windows")
        if not all(0 <= number < 1 << 53 for number in (self.generation, self.issued)):
            raise ValueError("a number is out of range")


def sign_windows(windows: GroupWindows, key: PrivateKey) -> tuple[bytes, bytes]:
    """The list's bytes and the region's signature of them."""
    return signed(windows, DOMAIN, key)


def open_windows(data: bytes, signature: bytes, region_key: bytes) -> GroupWindows:
    """The list in `data`, proved to be the region's.

    Raises:
        SignatureInvalid: not signed by this key.
        MessageInvalid: signed, and yet nothing that this node can read.
    """
    return opened(GroupWindows, DOMAIN, data, signature, region_key, "windows")
