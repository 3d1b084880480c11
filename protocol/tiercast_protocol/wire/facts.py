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


class Inventories(Message, frozen=True, kw_only=True, omit_defaults=True):
    """Up.  Inventories of the sender and of nodes below it that changed since its last one."""

    entries: list[InventoryEntry]


class GroupsTold(Message, frozen=True, kw_only=True, omit_defaults=True):
    """Down to one node: what came of the groups that it asked for by its inventory `seq` of this `generation`.

    `joined` are those that it is in by its own wish; `refused` says by name why it is not in another.
    """

    generation: int
    seq: int
    joined: list[str] = msgspec.field(default_factory=list)
    refused: dict[str, str] = msgspec.field(default_factory=dict)
