"""What to make of an order that arrived, as a pure decision (docs/protocol.md, section 7).

Rules
- Nothing that the region did not sign for this node, by name, key and generation, has any effect: it costs a log line.
- Time is the greater of the clock and the greatest time that the region ever signed to us: a clock set back
  revives nothing.
- An epoch below the highest seen is a server that lost its place: its orders are rejected.
- One (job, revision) acts once; what comes again is only answered again.  A revision below one already seen is stale.
- An order with an option that must be understood, and is not, is refused: it is never done as if that were not there.
- A cancel is a later revision of the job that it cancels.
"""

from __future__ import annotations

from dataclasses import dataclass

from tiercast_endpoint.jobs.install import Outcome
from tiercast_protocol.content.jobs import jobtypes, provisos, times, vouching
from tiercast_protocol.content.jobs import order as o
from tiercast_protocol.content.jobs.order import Order
from tiercast_protocol.content.jobs.understood import not_understood
from tiercast_protocol.content.package import actions
from tiercast_protocol.errors import SignatureInvalid, UsageError
from tiercast_protocol.wire.messages import OrderBundle


@dataclass(frozen=True, slots=True)
class Identity:
    """Who this node is, by its credential: `region_key` and `public_key` are 32 bytes."""

    region: str
    region_key: bytes
    name: str
    public_key: bytes
    generation: int


@dataclass(frozen=True, slots=True)
class Seen:
    """What the journal knows: highest epoch, greatest signed time (ms), newest revision of the job (0: none)."""

    epoch: int
    time_ms: int
    revision: int


@dataclass(frozen=True, slots=True)
class Accepted:
    """Carry it out."""


@dataclass(frozen=True, slots=True)
class Refused:
    """It is for us and genuine, and yet ends at once."""

    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Repeated:
    """Known already: say again what became of it."""


@dataclass(frozen=True, slots=True)
class Stale:
    """A later revision of the job was here before: nothing to do."""


Verdict = Accepted | Refused | Repeated | Stale


def open_bundle(bundle: OrderBundle, me: Identity) -> Order:
    """The order, proved to be of our region and for us.

    Raises:
        SignatureInvalid: it is not.
        MessageInvalid: signed, and yet no order that this version reads.
    """
    order = o.open_order(bundle.order, bundle.signature, me.region_key)
    if order.region != me.region:
        raise SignatureInvalid("order", f"it is for the region {order.region!r}")
    for target in bundle.targets:
        if target.node == me.name:
            check = vouching.check_vouched if target.voucher else o.check_target
            check(order, target, me.public_key, me.generation)
            return order
    raise SignatureInvalid("order", "it comes without the proof that this node is a target")


def judge(order: Order, seen: Seen, *, now_ms: int) -> Verdict:
    """What to do with a genuine order."""
    if order.revision == seen.revision:
        return Repeated()
    if order.revision < seen.revision:
        return Stale()
    if order.epoch < seen.epoch:
        detail = f"It is of epoch {order.epoch}; epoch {seen.epoch} has begun: its server was replaced."
        return Refused(Outcome("rejected", "order.epoch", detail))
    if order.expires <= max(now_ms, seen.time_ms):
        return Refused(Outcome("expired", "order.expired", "The order's time had passed when it arrived."))
    return _judge_content(order)


def _judge_content(order: Order) -> Verdict:
    """Whether it is something that an endpoint does."""
    if unknown := not_understood(order.must):
        return Refused(Outcome("rejected", "order.unknown-option", f"Not known here: {', '.join(unknown)}."))
    try:
        if order.type != o.CANCEL:
            times.read(order.options)
    except UsageError as error:
        return Refused(Outcome("rejected", "order.times", f"Its times can't be read: {error.what}."))
    try:
        if order.type != o.CANCEL:
            provisos.check(order.options)
    except UsageError as error:
        return Refused(Outcome("rejected", "order.terms", f"{error.what} {error.todo}"))
    if order.type not in jobtypes.carried_out_by("endpoint") | {o.CANCEL}:
        return Refused(Outcome("rejected", "order.type", f"An endpoint does not do jobs of type {order.type!r}."))
    try:
        actions.check_options(order.type, order.options)
    except UsageError as error:
        return Refused(Outcome("rejected", error.code, f"{error.what} {error.todo}"))
    return Accepted()
