"""A sub-tree is what it was when it was closed, and an error within it stays what it is."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.hop import child_node, order_for, parent_node, remember, until

from tiercast_protocol.content.trust.keys import PrivateKey

KEY = PrivateKey.generate()


async def test_orders_routes_and_users_survive_a_restart(tmp_path: Path) -> None:
    async with parent_node(tmp_path, children=["one"], key=KEY) as top:
        await top.take_order(order_for(KEY, {"one": b"1" * 32}, root=b"r" * 32))
    async with parent_node(tmp_path, children=[], key=KEY) as top:
        assert top.routes.via("one") == "one"
        assert await top.orders.needed() == {b"r" * 32}
        async with child_node(tmp_path, "one", top.broker.children_url) as one:
            one.post.on("order.v1", remember(one.received))
            await until(lambda: bool(one.received))


async def test_an_error_within_comes_out_as_it_is_and_all_is_closed(tmp_path: Path) -> None:
    for _ in range(2):  # the second could not open what the first still held
        with pytest.raises(ZeroDivisionError):
            async with parent_node(tmp_path):
                raise ZeroDivisionError
