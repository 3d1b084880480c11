"""Guests of one broker: who is heard, who is let in, what outlives the process."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.hop import HASH, FakeAbove, parent_node

from tiercast_gateway.children.guests import AWAY_SECONDS, COME_SECONDS
from tiercast_gateway.subtree import SubTree
from tiercast_protocol.wire.messages import Admitted
from tiercast_protocol.wire.moving import GuestAsked


@pytest.fixture
async def tree(tmp_path: Path) -> AsyncIterator[SubTree]:
    async with parent_node(tmp_path, children=["mine"], above=FakeAbove(parent="")) as made:
        await made.admit(guest("pc"))
        yield made


def guest(name: str) -> Admitted:
    return Admitted(
        name=name, role="endpoint", parent="parent", public_key=b"k" * 32, password_hash=HASH, generation=1, guest=True
    )


async def ask(tree: SubTree, name: str, **more: Any) -> tuple[bool, str]:
    answer = await tree.lodging.answer(name, GuestAsked(nonce=b"n", **more))
    assert answer.nonce == b"n"
    return answer.granted, answer.reason


async def test_a_guest_is_heard_once_it_has_a_place_and_no_route_leads_to_it_before_it_is_there(tree: SubTree) -> None:
    assert tree.lodging.admits("mine")
    assert not tree.lodging.admits("pc")
    assert [user.name for user in tree.enrolment.children()] == ["mine"]
    assert await ask(tree, "pc") == (True, "")
    assert not tree.lodging.admits("pc")
    assert await ask(tree, "pc", enter=True) == (True, "")
    assert tree.lodging.admits("pc")
    assert [user.name for user in tree.enrolment.children()] == ["mine", "pc"]
    assert tree.routes.via("pc") is None


async def test_what_is_measured_is_bounded(tree: SubTree) -> None:
    answer = await tree.lodging.answer("pc", GuestAsked(nonce=b"x" * 99, size=1 << 30))
    assert (len(answer.nonce), len(answer.filler)) == (16, 64 << 10)


async def test_who_is_cut_off_lets_nobody_in_but_its_own(tree: SubTree) -> None:
    tree.above.connected = False  # type: ignore[misc] - a made-up parent
    assert await ask(tree, "pc") == (False, "this node is cut off from its own parent")
    assert await ask(tree, "mine") == (True, "")


async def test_nobody_is_let_in_below_itself(tree: SubTree) -> None:
    tree.above.path = ("server", "pc")  # type: ignore[misc] - a made-up parent
    granted, reason = await ask(tree, "pc", enter=True)
    assert not granted
    assert "circle" in reason


async def test_places_outlive_the_process_and_end_with_their_time(tmp_path: Path) -> None:
    async with parent_node(tmp_path, children=[]) as tree:
        await tree.admit(guest("pc"))
        await ask(tree, "pc", enter=True)
    async with parent_node(tmp_path, children=[]) as tree:
        assert tree.lodging.admits("pc")
        await tree.lodging.sweep(time.monotonic() + AWAY_SECONDS + 1)
        assert not tree.lodging.admits("pc")
    async with parent_node(tmp_path, children=[]) as tree:
        assert not tree.lodging.admits("pc")
        await ask(tree, "pc", enter=True)
        tree.lodging.came("pc")
        await tree.lodging.sweep(time.monotonic() + COME_SECONDS + 1)
        assert tree.lodging.admits("pc")
        await tree.lodging.left("pc")
        assert not tree.lodging.admits("pc")
