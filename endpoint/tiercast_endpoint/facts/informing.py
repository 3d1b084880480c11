"""The agent's informer, put together: what is read of the system, and which words of the region it acts on.

Rules
- Nothing here decides; `inventory.py` does.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tiercast_endpoint.facts.inventory import Informer, Owned, Parent
from tiercast_endpoint.facts.networks import read_networks
from tiercast_endpoint.facts.software import Software
from tiercast_endpoint.settings import Settings
from tiercast_protocol.node.database import Database
from tiercast_protocol.node.joined import Enrolled
from tiercast_protocol.node.post import Post
from tiercast_protocol.wire.envelope import Envelope
from tiercast_protocol.wire.facts import GroupsTold, InventoryAsk
from tiercast_protocol.wire.messages import body_of


def made(
    db: Database,
    me: Enrolled,
    folder: Path,
    settings: Settings,
    ways: tuple[Post, Parent],
    stands: Callable[[str], bool],
    now_ms: Callable[[], int],
) -> Informer:
    """The informer of the agent `me`, whose state is in `folder`; `ways` are its outbox and its way up."""
    post, upstream = ways
    said = settings.inventory
    owned = Owned(settings.labels, settings.groups, said.programs(folder), said.wake_mac)
    informer = Informer(
        db=db,
        me=me,
        folder=folder,
        owned=owned,
        post=post,
        upstream=upstream,
        now_ms=now_ms,
        stands=stands,
        software=Software(sources=said.software),
        networks=read_networks,
    )

    async def on_groups(_peer: str, envelope: Envelope) -> None:
        await informer.groups.told(body_of(envelope, GroupsTold))

    async def on_asked(_peer: str, envelope: Envelope) -> None:
        await informer.asked(body_of(envelope, InventoryAsk))

    post.on("groups.told.v1", on_groups)
    post.on("inventory.ask.v1", on_asked)
    return informer
