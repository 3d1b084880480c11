"""The message catalogue: every kind, its type, and which way it goes.

Rules
- One table, `CATALOGUE`, from kind to type.  Names carry their version; a change that an old reader
  can't ignore is a new kind.
- Fields are only ever added, with a default.
- Times are milliseconds since 1970, sizes are bytes, digests are 32 bytes.
- "up" is towards the server, "down" towards the endpoints (docs/protocol.md, section 4).
"""

from __future__ import annotations

from typing import TypeVar

import msgspec

from tiercast_protocol.errors import MessageInvalid
from tiercast_protocol.wire import codec, drift, facts, leaves, moving, power, root, site
from tiercast_protocol.wire.envelope import Envelope

T = TypeVar("T", bound="Message")


Message = root.Message
OrderTarget = leaves.OrderTarget


# -- between neighbours ------------------------------------------------------------------------------


class Ack(Message, frozen=True, kw_only=True, omit_defaults=True):
    """Both ways.  `ids` of envelopes are in the receiver's database: forget them, never repeat them."""

    ids: list[bytes]


class Hello(Message, frozen=True, kw_only=True, omit_defaults=True):
    """Both ways, at every connect.  `boot` changes with every start: the other side repeats its wants.

    `path`, from a parent that reaches the server: the names from there down to it.
    `metered`: 0 says nothing of the link to the parent, 1 that it is metered, 2 that all jobs may use it all the same.
    `quota`, from a gateway: the most bytes that its depot holds, 0 for what its disk has; -1 says nothing.
    """

    boot: bytes
    role: str = "endpoint"
    software: str = ""
    free: int = 0
    path: list[str] = msgspec.field(default_factory=list)
    metered: int = 0
    quota: int = -1


class Gone(Message, frozen=True, kw_only=True, omit_defaults=True):
    """Up, the will of a child's control connection."""

    boot: bytes


class GroupJoin(Message, frozen=True, kw_only=True, omit_defaults=True):
    """Down.  Subscribe to the bulk topic of `group` (a number of the parent's), then say `GroupJoined`."""

    group: int
    epoch: bytes


class GroupLeave(Message, frozen=True, kw_only=True, omit_defaults=True):
    """Down.  Unsubscribe from `group`."""

    group: int
    epoch: bytes


class GroupJoined(Message, frozen=True, kw_only=True, omit_defaults=True):
    """Up.  The broker acknowledged the subscription; frames for the group reach this child."""

    group: int
    epoch: bytes


class Absent(Message, frozen=True, kw_only=True, omit_defaults=True):
    """Down.  No tier above holds these chunks (32 bytes each); asking again is in vain for now."""

    digests: bytes
    reason: str = "unknown"


# -- enrolment ---------------------------------------------------------------------------------------


class TokenIssued(Message, frozen=True, kw_only=True, omit_defaults=True):
    """Down to the gateway that will be the parent: its broker lets `join-<token_id>` in until `expires`."""

    token_id: str
    password_hash: str
    parent: str
    expires: int


class EnrolRequest(Message, frozen=True, kw_only=True, omit_defaults=True):
    """Up from a node that joins.  `proof` is HMAC-SHA256(secret, public_key | name), so the token can't be
    used for another key; `signature` is the new key's, over the same, so the key is held.
    """

    token_id: str
    name: str
    role: str
    public_key: bytes
    password_hash: str
    proof: bytes
    signature: bytes


class EnrolReply(Message, frozen=True, kw_only=True, omit_defaults=True):
    """Down to a node that joins: its credential signed by the region, or why not."""

    token_id: str
    accepted: bool
    credential: bytes = b""
    signature: bytes = b""
    code: str = ""
    reason: str = ""


class Admitted(Message, frozen=True, kw_only=True, omit_defaults=True):
    """Down to the new node's parent; every gateway on the way learns the route to the node.

    `guest`: `parent` is no more than a candidate, which lets the node in while its own parent is away.
    """

    name: str
    role: str
    parent: str
    public_key: bytes
    password_hash: str
    generation: int
    token_id: str = ""
    guest: bool = False


class Dismissed(Message, frozen=True, kw_only=True, omit_defaults=True):
    """Down to the parent of a node that was removed from the region; or to `parent`, which lets it in no more."""

    name: str
    parent: str = ""


# -- orders and what came of them --------------------------------------------------------------------


class PatchOffer(Message, frozen=True, kw_only=True, omit_defaults=True):
    """There is a patch, `size` bytes in all; whoever holds `base` would need `plain` bytes of chunks instead."""

    base: bytes
    result: bytes
    patch: bytes
    size: int
    plain: int


class OrderBundle(Message, frozen=True, kw_only=True, omit_defaults=True):
    """Down.  A signed order and those of its targets that are below the receiver (or are the receiver).

    `offers`, unsigned, are patches that may be used to get its content.
    """

    order: bytes
    signature: bytes
    targets: list[OrderTarget]
    offers: list[PatchOffer] = msgspec.field(default_factory=list)


class PatchOffers(Message, frozen=True, kw_only=True, omit_defaults=True):
    """Down.  Patches that were made after the order went."""

    offers: list[PatchOffer]


class StatusRecord(Message, frozen=True, kw_only=True, omit_defaults=True):
    """What one target says of one job at one revision and attempt; the highest `seq` wins.

    `state` is one of `tiercast_protocol.content.jobs.receipt.STATES`.  `done` and `total` are bytes of the
    present step.  A final state carries the endpoint's `receipt` and its `signature`.
    """

    job: str
    revision: int
    target: str
    attempt: int
    seq: int
    state: str
    at: int
    code: str = ""
    detail: str = ""
    done: int = 0
    total: int = 0
    receipt: bytes = b""
    signature: bytes = b""
    #: What the target's owner chose of the job, as JSON (`content/jobs/chosen.py`); "" for nothing.
    owner: str = ""


#: Numbers of a record stay below this (what JSON and every database hold), its texts and proofs below these.
_MOST, _LONGEST_NAME, _LARGEST_SAY = 1 << 53, 255, 512 << 10
_LONGEST_CHOICE = 1_000


def sound(record: StatusRecord) -> bool:
    """Whether every tier can keep `record` and pass it on; what a neighbour sends may be anything."""
    numbers = (record.revision, record.attempt, record.seq, record.at, record.done, record.total)
    return (
        all(0 <= number < _MOST for number in numbers)
        and max(len(record.job), len(record.target), len(record.state), len(record.code)) <= _LONGEST_NAME
        and len(record.owner) <= _LONGEST_CHOICE
        and 4 * len(record.detail) + len(record.receipt) + len(record.signature) <= _LARGEST_SAY
    )


class Status(Message, frozen=True, kw_only=True, omit_defaults=True):
    """Up.  Records merged over the sender's sub-tree since its last one."""

    records: list[StatusRecord]


# -- steering a transfer -----------------------------------------------------------------------------


class HoldEntry(Message, frozen=True, kw_only=True, omit_defaults=True):
    """One suspension: of `job` ("" is all), for `node` below the receiver ("" is everything below it).

    `until` 0 is until it is resumed; `by` says who suspended, and where; `of` the node that was named there.
    """

    job: str = ""
    node: str = ""
    until: int = 0
    by: str = ""
    of: str = ""


class Holds(Message, frozen=True, kw_only=True, omit_defaults=True):
    """Down to a gateway.  All suspensions that its parent knows for it and what is below; replaces the last list.

    `seq` grows with every list of one parent.
    """

    seq: int
    holds: list[HoldEntry] = msgspec.field(default_factory=list)


class JobShape(Message, frozen=True, kw_only=True, omit_defaults=True):
    """Down to whoever the job's order passed: its changed terms, signed by the region."""

    shape: bytes
    signature: bytes


# -- looking inside ----------------------------------------------------------------------------------


class Query(Message, frozen=True, kw_only=True, omit_defaults=True):
    """Down to one node: run a reading verb of its control socket."""

    verb: str
    args: dict[str, object] = msgspec.field(default_factory=dict)


class Answer(Message, frozen=True, kw_only=True, omit_defaults=True):
    """Up to the server: what `Query` with envelope id `query` gave; `error` as a UsageError's map."""

    query: bytes
    result: object = None
    error: dict[str, str] = msgspec.field(default_factory=dict)


# -- on the bulk connection, never in an envelope ----------------------------------------------------


class Piece(msgspec.Struct, frozen=True, array_like=True):
    """`length` bytes at `offset` of the stored form (of `size` bytes) of the chunk `digest`."""

    digest: bytes
    size: int
    offset: int
    length: int


class Report(Message, frozen=True, kw_only=True, omit_defaults=True):
    """Up, QoS 0, idempotent: a child's whole say in its transfer from its parent (docs/protocol.md, section 6).

    Attributes:
        session: random, new at each start of the child; counters belong to it.
        received: payload bytes of bulk frames received in this session (marks settle what was lost).
        window: bytes that may be under way beyond `received`.
        mark: highest mark answered; 0 is none.
        wants: digests wanted from now on, 32 bytes each, in the order wished.
        repairs: (digest, offset, length) that are missing though the parent sent them.
        drops: digests no longer wanted.
        jobs: for which jobs the wants are: (job, count) runs over `wants` in their order, then over `repairs`; the
            rest is for none.
        segment, pause_ms, rate: split and bytes per second that the child asks for; 0 is no wish.
    """

    session: int
    received: int
    window: int
    mark: int = 0
    wants: bytes = b""
    repairs: list[tuple[bytes, int, int]] = msgspec.field(default_factory=list)
    drops: bytes = b""
    jobs: list[tuple[str, int]] = msgspec.field(default_factory=list)
    segment: int = 0
    pause_ms: int = 0
    rate: int = 0


CATALOGUE: dict[str, type[Message]] = {
    "ack.v1": Ack,
    "hello.v1": Hello,
    "gone.v1": Gone,
    "group.join.v1": GroupJoin,
    "group.leave.v1": GroupLeave,
    "group.joined.v1": GroupJoined,
    "absent.v1": Absent,
    "token.issued.v1": TokenIssued,
    "enrol.request.v1": EnrolRequest,
    "enrol.reply.v1": EnrolReply,
    "node.admitted.v1": Admitted,
    "node.dismissed.v1": Dismissed,
    "parents.v1": moving.ParentsTold,
    "node.placed.v1": moving.Placed,
    "node.left.v1": moving.Left,
    "guest.ask.v1": moving.GuestAsked,
    "guest.answer.v1": moving.GuestAnswered,
    "order.v1": OrderBundle,
    "patch.offer.v1": PatchOffers,
    "status.v1": Status,
    "inventory.v1": facts.Inventories,
    "woken.v1": power.Woken,
    "inventory.same.v1": facts.InventorySame,
    "inventory.ask.v1": facts.InventoryAsk,
    "groups.told.v1": facts.GroupsTold,
    "transfer.hold.v1": Holds,
    "job.shape.v1": JobShape,
    "starts.held.v1": site.StartsHeld,
    "breaker.told.v1": site.BreakerTold,
    "breakers.opened.v1": site.BreakersOpened,
    "site.order.v1": site.SiteOrder,
    "site.joined.v1": site.SiteJoined,
    "site.groups.v1": site.GroupsTold,
    "assigned.v1": drift.Assigned,
    "drift.told.v1": drift.DriftTold,
    "windows.told.v1": site.WindowsTold,
    "query.v1": Query,
    "answer.v1": Answer,
    "transfer.report.v1": Report,
}
KIND_OF: dict[type[Message], str] = {type_: kind for kind, type_ in CATALOGUE.items()}

#: Kinds that are worthless a moment later: never put into an outbox, never acknowledged.
EPHEMERAL = frozenset(
    {"ack.v1", "hello.v1", "gone.v1", "group.join.v1", "group.leave.v1", "group.joined.v1", "absent.v1"}
    | {"guest.ask.v1", "guest.answer.v1"}
)


def body_of(envelope: Envelope, type_: type[T]) -> T:
    """The envelope's body as `type_`.

    Raises:
        MessageInvalid: the body is not of that shape.
    """
    try:
        return codec.decode(envelope.body, type_)
    except MessageInvalid as error:
        raise MessageInvalid(error.reason, envelope.kind) from error
