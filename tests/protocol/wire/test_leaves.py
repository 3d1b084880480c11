"""Leaves of an order; their golden bytes stand with the orders that carry them."""

from __future__ import annotations

from tiercast_protocol.wire import codec
from tiercast_protocol.wire.messages import OrderTarget


def test_a_leaf_without_a_voucher_says_nothing_of_one() -> None:
    plain = OrderTarget(node="pc", index=1, proof=[b"p" * 32])
    assert codec.decode_plain(codec.encode(plain)).keys() == {"node", "index", "proof"}
    assert codec.decode(codec.encode(plain), OrderTarget) == plain
