"""Vouchers: only a gateway that the order names may vouch, only for the one node, only in its own shape."""

from __future__ import annotations

import time

import msgspec
import pytest

from tiercast_protocol.content.jobs import vouching as v
from tiercast_protocol.content.jobs.order import Order, check_target
from tiercast_protocol.content.sealed import merkle
from tiercast_protocol.content.trust.keys import PrivateKey
from tiercast_protocol.errors import MessageInvalid, SignatureInvalid
from tiercast_protocol.wire.messages import OrderTarget

GATE, PC, OTHER = PrivateKey.generate(), PrivateKey.generate(), PrivateKey.generate()


def order_with(*leaves: bytes) -> tuple[Order, merkle.Tree]:
    tree, now = merkle.Tree(leaves), time.time_ns() // 1_000_000
    order = Order(
        region="r",
        epoch=1,
        job="j1",
        revision=1,
        type="install",
        package="app",
        version="1",
        package_revision=1,
        root=b"r" * 32,
        issued=now,
        expires=now + 1000,
        targets_root=tree.root,
        target_count=len(leaves),
    )
    return order, tree


def voucher(**more: object) -> v.Voucher:
    fields: dict[str, object] = {"region": "r", "job": "j1", "revision": 1, "node": "pc", "public_key": PC.public}
    fields |= {"generation": 2, "by": "g", "by_key": GATE.public, "by_generation": 1, "at": 5}
    return v.Voucher(**(fields | more))  # type: ignore[arg-type]


def vouched(tree: merkle.Tree, said: v.Voucher, key: PrivateKey = GATE, index: int = 1) -> OrderTarget:
    data, signature = v.sign_voucher(said, key)
    return OrderTarget(node="pc", index=index, proof=tree.proof(index), voucher=data, signature=signature)


def test_a_gateway_that_the_order_names_vouches_for_one_node() -> None:
    order, tree = order_with(merkle.leaf_of("x", OTHER.public, 1), v.voucher_leaf("g", GATE.public, 1))
    assert v.check_vouched(order, vouched(tree, voucher()), PC.public, 2).by == "g"
    leaf = OrderTarget(node="g", index=1, proof=tree.proof(1))
    v.check_leaf(order, leaf, GATE.public, 1)
    with pytest.raises(SignatureInvalid):
        v.check_leaf(order, leaf, GATE.public, 2)
    for wrong in ({"node": "pd"}, {"job": "j2"}, {"revision": 2}, {"region": "q"}, {"generation": 3}):
        with pytest.raises(SignatureInvalid):
            v.check_vouched(order, vouched(tree, voucher(**wrong)), PC.public, 2)
    with pytest.raises(SignatureInvalid):
        v.check_vouched(order, vouched(tree, voucher(), key=OTHER), PC.public, 2)
    with pytest.raises(SignatureInvalid):
        v.check_vouched(order, vouched(tree, voucher(by_key=OTHER.public), key=OTHER), PC.public, 2)
    with pytest.raises(MessageInvalid):
        v.check_vouched(order, OrderTarget(node="pc", index=1, proof=[], voucher=b"x", signature=b""), PC.public, 2)


def test_a_target_can_not_vouch_and_a_voucher_is_no_target() -> None:
    order, tree = order_with(merkle.leaf_of("g", GATE.public, 1), v.voucher_leaf("h", OTHER.public, 1))
    with pytest.raises(SignatureInvalid):
        v.check_vouched(order, vouched(tree, voucher(), index=0), PC.public, 2)
    with pytest.raises(SignatureInvalid):
        check_target(order, OrderTarget(node="h", index=1, proof=tree.proof(1)), OTHER.public, 1)


def test_the_windows_of_a_voucher_are_kept_with_the_order() -> None:
    _, tree = order_with(merkle.leaf_of("x", OTHER.public, 1), v.voucher_leaf("g", GATE.public, 1))
    target = vouched(tree, voucher(windows=[("sales", "daily 22:00-05:00")]))
    assert v.kept_windows(v.windows_of([target], "pc")) == [("sales", "daily 22:00-05:00")]
    assert v.windows_of([vouched(tree, voucher())], "pc") == {}
    assert v.windows_of([OrderTarget(node="pc", index=0, proof=[])], "pc") == {}
    assert v.kept_windows({}) == []


def test_a_definition_travels_as_text_and_nonsense_is_none() -> None:
    said = v.Definition(target="group g", groups={"g": v.Group(where="cpus > 1")}, below={"b": ["b"]})
    assert v.definition_of({v.SITE: v.definition_text(said)}) == said
    assert [v.definition_of({v.SITE: wrong}) for wrong in ("{", 3, '{"target": 3}')] == [None, None, None]
    assert v.definition_of({}) is None
    with pytest.raises(ValueError, match="name"):
        voucher(node="no name!")
    assert msgspec.structs.replace(voucher(), at=7).at == 7
