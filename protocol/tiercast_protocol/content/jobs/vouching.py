"""Site-held groups: what an order says of whom it is for besides its targets, and a gateway's word for a newcomer.

Rules (docs/protocol.md, section 14)
- The region signs, with the order, whom it means (`Definition`) and which gateways may vouch for newcomers: each is a
  leaf of the order's own Merkle tree, of another shape than a target's, so no target can vouch, and who may vouch is no
  target by that.
- A voucher is of one newcomer, by name, key and generation, for one revision of one job, signed by the gateway's key.
- Whoever obeys proves both: the leaf of the gateway under the order's root, and the gateway's signature.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from tiercast_protocol.content.jobs.order import Order
from tiercast_protocol.content.sealed import merkle
from tiercast_protocol.content.trust.keys import PrivateKey, verify
from tiercast_protocol.content.trust.signed import signed
from tiercast_protocol.errors import MessageInvalid, SignatureInvalid
from tiercast_protocol.wire import codec
from tiercast_protocol.wire.messages import OrderTarget
from tiercast_protocol.wire.topics import valid_name

DOMAIN = "tiercast voucher 1"
#: In an order's options: a `Definition` as JSON.
SITE = "site_target"
#: In what an endpoint keeps of an order's options: the windows of its voucher, as JSON.
WINDOWS = "vouched_windows"
#: Longest of it, in characters: it goes to every target.
LONGEST = 16_000


class Group(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who is in a group: by expression, by himself, or these; and when its members install packages."""

    where: str = ""
    self_join: bool = False
    members: list[str] = []
    window: str = ""


class Definition(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Whom a job means, as far as a gateway needs to know.

    Attributes:
        target: the expression, as `target.parse_kept` reads it.
        groups: those that it names.
        below: by each gateway that it names after `below`: it and all gateways below it.
    """

    target: str
    groups: dict[str, Group] = {}
    below: dict[str, list[str]] = {}


def definition_text(definition: Definition) -> str:
    """As an order carries it."""
    return msgspec.json.encode(definition).decode()


def definition_of(options: Mapping[str, object]) -> Definition | None:
    """What an order with these options says; None where it says nothing, or nothing that can be read."""
    text = options.get(SITE)
    if not isinstance(text, str):
        return None
    try:
        return msgspec.json.decode(text, type=Definition)
    except msgspec.DecodeError:
        return None


class Voucher(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """That the gateway `by` found `node` to be whom the job means.

    Attributes:
        public_key, generation: of the node.
        by_key, by_generation: of the gateway.
        at: milliseconds since 1970.
        windows: of the groups by which it is meant, each with the group's name: they hold for it, though the region
            did not say so yet.
    """

    region: str
    job: str
    revision: int
    node: str
    public_key: bytes
    generation: int
    by: str
    by_key: bytes
    by_generation: int
    at: int
    windows: list[tuple[str, str]] = []

    def __post_init__(self) -> None:
        """Refuse what can't be one."""
        if not all(map(valid_name, (self.region, self.job, self.node, self.by))):
            raise ValueError("region, job, node or gateway is no name")
        if not all(0 <= number < 1 << 53 for number in (self.revision, self.generation, self.by_generation, self.at)):
            raise ValueError("a number is out of range")


def voucher_leaf(name: str, public_key: bytes, generation: int) -> bytes:
    """The leaf of a gateway that may vouch."""
    return codec.encode(["voucher", name, public_key, generation])


def sign_voucher(voucher: Voucher, key: PrivateKey) -> tuple[bytes, bytes]:
    """The voucher's bytes and the gateway's signature of them."""
    return signed(voucher, DOMAIN, key)


def open_voucher(data: bytes, signature: bytes) -> Voucher:
    """The voucher in `data`, proved to be of the key that it names.  Whose key that is, the caller proves.

    Raises:
        SignatureInvalid: not signed by that key.
        MessageInvalid: no voucher that this node can read.
    """
    try:
        voucher = codec.decode(data, Voucher)
    except MessageInvalid as error:
        raise MessageInvalid(error.reason, "voucher") from error
    verify(voucher.by_key, DOMAIN, data, signature)
    return voucher


def check_leaf(order: Order, leaf: OrderTarget, public_key: bytes, generation: int) -> None:
    """Check that the gateway `leaf.node`, with this key, may vouch for the order.

    Raises:
        SignatureInvalid: it may not.
    """
    mine = voucher_leaf(leaf.node, public_key, generation)
    merkle.verify(order.targets_root, mine, leaf.index, order.target_count, leaf.proof)


def check_vouched(order: Order, target: OrderTarget, public_key: bytes, generation: int) -> Voucher:
    """Check that a gateway which may do so vouches for the node `target.node`, with this key; the voucher.

    Raises:
        SignatureInvalid: it does not.
        MessageInvalid: the voucher can't be read.
    """
    voucher = open_voucher(target.voucher, target.signature)
    said = (voucher.region, voucher.job, voucher.revision, voucher.node, voucher.public_key, voucher.generation)
    if said != (order.region, order.job, order.revision, target.node, public_key, generation):
        raise SignatureInvalid("voucher", "it is for another node, key or order")
    leaf = voucher_leaf(voucher.by, voucher.by_key, voucher.by_generation)
    merkle.verify(order.targets_root, leaf, target.index, order.target_count, target.proof)
    return voucher


def windows_of(targets: Iterable[OrderTarget], node: str) -> dict[str, str]:
    """What is kept beside the order's options of a bundle for `node` that was proved: the windows of its voucher."""
    for target in targets:
        if target.node == node and target.voucher:
            windows = open_voucher(target.voucher, target.signature).windows
            return {WINDOWS: msgspec.json.encode(windows).decode()} if windows else {}
    return {}


def kept_windows(options: Mapping[str, object]) -> list[tuple[str, str]]:
    """What `windows_of` gave."""
    text = options.get(WINDOWS, "[]")
    return msgspec.json.decode(text, type=list[tuple[str, str]]) if isinstance(text, str) else []
