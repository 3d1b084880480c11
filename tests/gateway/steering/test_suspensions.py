"""Suspensions act before they are kept, and a gateway below hears each list once."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.hop import FakeAbove, admitted, parent_node

from tiercast_gateway.steering.holds import Hold
from tiercast_protocol.content.trust.keys import PrivateKey
from tiercast_protocol.errors import UsageError
from tiercast_protocol.wire.messages import HoldEntry, Holds

KEY = PrivateKey.generate()


async def test_each_list_is_said_once_also_after_a_start(tmp_path: Path) -> None:
    async with parent_node(tmp_path, children=["pc"], key=KEY, name="top", above=FakeAbove()) as tree:
        await tree.admit(admitted("mid", "top", role="gateway"))
        suspensions = tree.steering.suspensions
        await suspensions.suspend([Hold("", "mid", by="anna@top"), Hold("", "pc", by="anna@top")])
        for _ in range(2):
            await suspensions.tell_below()
        assert [message.kind for message in await tree.post.pending()].count("transfer.hold.v1") == 1
    async with parent_node(tmp_path, children=["pc"], key=KEY, name="top", above=FakeAbove()) as tree:
        suspensions = tree.steering.suspensions
        await suspensions.tell_below()
        assert [message.kind for message in await tree.post.pending()].count("transfer.hold.v1") == 1
        await suspensions.resume([Hold("", "mid")])
        await suspensions.tell_below()
        assert [message.kind for message in await tree.post.pending()].count("transfer.hold.v1") == 2


async def test_names_are_checked_before_anything_is_said(tmp_path: Path) -> None:
    async with parent_node(tmp_path, children=["pc"], key=KEY, name="top", above=FakeAbove()) as tree:
        suspensions = tree.steering.suspensions
        for wrong in (Hold("", "nobody"), Hold("", "nobody", link=True), Hold("", "top", link=True)):
            with pytest.raises(UsageError):
                await suspensions.suspend([Hold("", "pc"), wrong])
        assert suspensions.shown() == []
        await suspensions.take("old", Holds(seq=9, holds=[HoldEntry()]))
        assert suspensions.shown() == [], "of a parent that is none any more"
