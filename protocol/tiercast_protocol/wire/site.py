"""Messages about what gateways decide for their sites (docs/protocol.md, section 14).

Rules
- As in `messages`, whose table `CATALOGUE` names their kinds.
- What only delays (a start that is held) carries no signature; what lets something begin carries the region's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from tiercast_protocol.wire.leaves import OrderTarget
from tiercast_protocol.wire.root import Message


class HeldRollout(Message, frozen=True, kw_only=True, omit_defaults=True):
    """Nothing more of `rollout` begins below `site`, since `since` (milliseconds since 1970): its breaker is open.

    `have` is how many failed there ("3 of 40"), `limit` at what it stops; both for a person.
    """

    rollout: str
    site: str
    since: int
    have: str = ""
    limit: str = ""


def row_of(one: HeldRollout) -> list[str | int]:
    """As it is kept."""
    return [one.rollout, one.site, one.since, one.have, one.limit]


def of_row(row: Sequence[Any]) -> HeldRollout:
    """What was kept."""
    rollout, site, since, have, limit = row
    return HeldRollout(rollout=rollout, site=site, since=since, have=have, limit=limit)


class StartsHeld(Message, frozen=True, kw_only=True, omit_defaults=True):
    """Down to every child.  All rollouts of which nothing more begins there; replaces the last list of this parent.

    `seq` grows with every list of one parent.
    """

    seq: int
    held: list[HeldRollout] = msgspec.field(default_factory=list)


class BreakerTold(Message, frozen=True, kw_only=True, omit_defaults=True):
    """Up.  What the breaker of a rollout at the gateway `node` is: a `content.breaker.Trip`, signed by it."""

    node: str
    data: bytes
    signature: bytes


class BreakersOpened(Message, frozen=True, kw_only=True, omit_defaults=True):
    """Down to every gateway.  A person lets a rollout go on: a `content.breaker.Again`, signed by the region."""

    data: bytes
    signature: bytes


class SiteOrder(Message, frozen=True, kw_only=True, omit_defaults=True):
    """Down to gateways.  A signed order whose groups they hold, and the leaves of those below that may vouch.

    `vouchers` are of the receiver and of gateways below it; one that cancels the job ends what they hold of it.
    """

    order: bytes
    signature: bytes
    vouchers: list[OrderTarget]


class Vouched(Message, frozen=True, kw_only=True, omit_defaults=True):
    """A `content.vouching.Voucher`, signed by the gateway that says it."""

    data: bytes
    signature: bytes


class GroupsTold(Message, frozen=True, kw_only=True, omit_defaults=True):
    """Down to one gateway.  What the groups of a site-held job came to be: a `content.regrouped.Regrouped`, signed."""

    data: bytes
    signature: bytes


class SiteJoined(Message, frozen=True, kw_only=True, omit_defaults=True):
    """Up.  Who became a target of a site-held job at the gateway `node`."""

    node: str
    entries: list[Vouched]


class WindowsTold(Message, frozen=True, kw_only=True, omit_defaults=True):
    """Down to one endpoint.  The windows of its groups: a `content.groupwindows.GroupWindows`, signed by the region."""

    data: bytes
    signature: bytes
