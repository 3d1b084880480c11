"""Making orders: one signature per (job, revision) over the Merkle root of its targets.

Rules
- A leaf is name, key and generation: an order can't be moved to another node, or to a successor of the name.
- A bundle carries at most `BUNDLE` targets with their proofs, so that it stays below the wire's limit for a
  message; more targets go in more bundles of the same order.
- Pure: what is signed is decided here, what becomes of it in `jobs`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from tiercast_protocol.content.jobs.order import CANCEL, Order, sign_order
from tiercast_protocol.content.jobs.understood import must_of
from tiercast_protocol.content.jobs.vouching import voucher_leaf
from tiercast_protocol.content.sealed import merkle
from tiercast_protocol.content.trust.keys import PrivateKey
from tiercast_protocol.wire.messages import OrderBundle, OrderTarget
from tiercast_server.nodes.nodes import Node

#: Most targets of one bundle.
BUNDLE = 1_000


@dataclass(frozen=True, slots=True)
class Subject:
    """What an order is about; times in milliseconds since 1970."""

    job: str
    type: str
    package: str
    version: str
    package_revision: int
    root: bytes
    issued: int
    expires: int
    options: dict[str, str | int | bool]


@dataclass(frozen=True, slots=True)
class Signed:
    """A signed order and its bundles."""

    body: bytes
    signature: bytes
    bundles: tuple[OrderBundle, ...]
    vouchers: tuple[OrderTarget, ...] = ()


def sign(
    subject: Subject,
    revision: int,
    targets: Sequence[Node],
    vouchers: Sequence[Node] = (),
    *,
    region: str,
    epoch: int,
    key: PrivateKey,
    wakes: Collection[str] = (),
) -> Signed:
    """Sign `subject` as order `revision` of its job for `targets`, and for `vouchers` to vouch for newcomers.

    All have joined, and there is at least one.  Those of one parent stand together, so that a bundle goes few ways.
    `wakes`: those of the targets that are woken for it by a group's policy.
    """
    targets = sorted(targets, key=lambda node: (node.parent, node.name))
    leaves = [merkle.leaf_of(node.name, node.public_key, node.generation) for node in targets]
    leaves += [voucher_leaf(node.name, node.public_key, node.generation) for node in vouchers]
    tree = merkle.Tree(leaves)
    order = Order(
        region=region,
        epoch=epoch,
        job=subject.job,
        revision=revision,
        type=subject.type,
        package=subject.package,
        version=subject.version,
        package_revision=subject.package_revision,
        root=subject.root,
        issued=subject.issued,
        expires=subject.expires,
        targets_root=tree.root,
        target_count=len(leaves),
        options=subject.options,
        must=[] if subject.type == CANCEL else must_of(subject.options),
    )
    body, signature = sign_order(order, key)
    each = [
        OrderTarget(node=node.name, index=index, proof=tree.proof(index), wake=node.name in wakes)
        for index, node in enumerate(targets)
    ]
    more = [
        OrderTarget(node=node.name, index=index, proof=tree.proof(index))
        for index, node in enumerate(vouchers, len(targets))
    ]
    bundles = tuple(
        OrderBundle(order=body, signature=signature, targets=each[at : at + BUNDLE])
        for at in range(0, len(each), BUNDLE)
    )
    return Signed(body, signature, bundles, tuple(more))
