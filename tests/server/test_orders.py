"""Orders: one signature, each target its proof."""

from dataclasses import replace

import pytest

from tiercast_protocol.content.jobs.order import check_target, open_order
from tiercast_protocol.content.trust.keys import PrivateKey
from tiercast_protocol.errors import SignatureInvalid
from tiercast_protocol.wire import codec
from tiercast_server.nodes.nodes import Node
from tiercast_server.orders import BUNDLE, Subject, sign

KEY = PrivateKey.generate()
SUBJECT = Subject(
    job="j1-0000",
    type="install",
    package="app",
    version="1",
    package_revision=1,
    root=bytes(32),
    issued=1,
    expires=2,
    options={},
)


def a_node(name: str, key: bytes = bytes(32), generation: int = 1) -> Node:
    return Node(name, "endpoint", "server", "joined", key, "", generation, 0, 0, "")


def test_each_target_proves_that_it_is_meant_and_nobody_else() -> None:
    nodes = [a_node(f"pc{n}", bytes([n] * 32)) for n in range(7)]
    signed = sign(SUBJECT, 1, nodes, region="r", epoch=9, key=KEY)
    order = open_order(signed.body, signed.signature, KEY.public)
    assert (order.target_count, order.epoch, order.revision) == (7, 9, 1)
    (bundle,) = signed.bundles
    for node, target in zip(nodes, bundle.targets, strict=True):
        check_target(order, target, node.public_key, 1)
        with pytest.raises(SignatureInvalid):
            check_target(order, target, node.public_key, 2)
        with pytest.raises(SignatureInvalid):
            check_target(order, target, bytes(32) if any(node.public_key) else bytes([9] * 32), 1)


def test_what_must_be_understood_is_named_but_in_a_cancel() -> None:
    timed = replace(SUBJECT, options={"install_window": "daily 22:00-05:00", "rate": 9})
    for type_, must in ((SUBJECT.type, ["install_window"]), ("cancel", [])):
        signed = sign(replace(timed, type=type_), 1, [a_node("pc1")], region="r", epoch=9, key=KEY)
        assert open_order(signed.body, signed.signature, KEY.public).must == must


def test_a_full_bundle_fits_into_a_message() -> None:
    nodes = [a_node("n" * 60 + f"{n:03}", bytes(32)) for n in range(BUNDLE)]
    signed = sign(SUBJECT, 1, nodes, region="r", epoch=9, key=KEY)
    assert len(codec.encode(signed.bundles[0])) < codec.MAX_MESSAGE // 2
