"""Messages about what machines say of themselves (docs/protocol.md, section 13).

Rules
- As in `messages`, whose table `CATALOGUE` names their kinds.
- What a node says of itself travels as signed bytes (`content.inventory`), whoever relays it.
"""

from __future__ import annotations

import msgspec

from tiercast_protocol.wire.root import Message


class InventoryEntry(Message, frozen=True, kw_only=True, omit_defaults=True):
    """What `node` said of itself: a `content.inventory.Inventory`, the `seq`th of its `generation`, signed by it.

    `urgent`: somebody waits for what comes of it.
    """

    node: str
    generation: int
    seq: int
    data: bytes
    signature: bytes
    urgent: bool = False


class SoftwareList(Message, frozen=True, kw_only=True, omit_defaults=True):
    """The list of software `digest`, packed; with `base` what makes it of that list (`content.software`)."""

    digest: bytes
    data: bytes
    base: bytes = b""


class Inventories(Message, frozen=True, kw_only=True, omit_defaults=True):
    """Up.  Inventories of the sender and of nodes below it that changed since its last one.

    `lists` are those that they name and that the receiver was not told yet, as far as the sender knows.
    """

    entries: list[InventoryEntry] = msgspec.field(default_factory=list)
    lists: list[SoftwareList] = msgspec.field(default_factory=list)


class InventorySame(Message, frozen=True, kw_only=True, omit_defaults=True):
    """Up, from one machine: the `seq`th word of its `generation` still stands.  Who does not hold it asks."""

    generation: int
    seq: int


class InventoryAsk(Message, frozen=True, kw_only=True, omit_defaults=True):
    """Down to one child: say `whole` what you are; say these `lists`, as far as you hold them."""

    whole: bool = False
    lists: list[bytes] = msgspec.field(default_factory=list)


class GroupsTold(Message, frozen=True, kw_only=True, omit_defaults=True):
    """Down to one node: what came of the groups that it asked for by its inventory `seq` of this `generation`.

    `joined` are those that it is in by its own wish; `refused` says by name why it is not in another.
    """

    generation: int
    seq: int
    joined: list[str] = msgspec.field(default_factory=list)
    refused: dict[str, str] = msgspec.field(default_factory=dict)
