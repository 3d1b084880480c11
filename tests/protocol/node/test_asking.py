"""Asking a possible parent for a place, over a real broker."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.support.hop import HASH, PASSWORD, REGION, FakeAbove, parent_node

from tiercast_protocol.node.address import TlsFiles
from tiercast_protocol.node.asking import Said, ask_for_place
from tiercast_protocol.node.hop import Parent
from tiercast_protocol.wire.messages import Admitted


async def ask(url: str, *, enter: bool = False, password: str = PASSWORD, deadline: float = 10.0) -> Said:
    return await ask_for_place(
        Parent("parent", url),
        me="pc",
        region=REGION,
        login=("pc", password),
        enter=enter,
        tls=TlsFiles(),
        deadline=deadline,
    )


async def test_a_place_is_measured_then_taken_and_whoever_asks_is_no_child_by_that(tmp_path: Path) -> None:
    guest = Admitted(
        name="pc", role="endpoint", parent="parent", public_key=b"k" * 32, password_hash=HASH, generation=1, guest=True
    )
    above = FakeAbove()
    async with parent_node(tmp_path, children=[], above=above) as parent:
        await parent.admit(guest)
        url = parent.broker.children_url
        async with asyncio.timeout(60):
            while not (said := await ask(url)).granted:  # noqa: ASYNC110 - another process, which says nothing of it
                await asyncio.sleep(0.01)  # its broker reads the names in its own time
        assert said.rate > 10_000
        assert not parent.lodging.admits("pc")
        said = await ask(url, enter=True)
        assert (said.granted, said.rate) == (True, 0.0)
        assert parent.lodging.admits("pc")
        assert not parent.children.online("pc")
        await parent.lodging.left("pc")
        above.connected = False
        said = await ask(url, enter=True)
        assert (said.granted, said.reason) == (False, "this node is cut off from its own parent")
        assert said.wait >= 5
        said = await ask(url, password="wrong")
        assert not said.granted
        assert said.reason


@pytest.mark.parametrize("url", ["mqtt://127.0.0.1:1", "", "nonsense", "mqtts://127.0.0.1:1"])
async def test_whoever_is_not_there_is_a_sentence_not_an_error(url: str) -> None:
    said = await ask(url, deadline=3.0)
    assert not said.granted
    assert said.reason
