"""The region's tree over a real sub-tree."""

from typing import Any

import pytest

from tiercast_protocol.errors import UsageError
from tiercast_protocol.wire.messages import Admitted, Dismissed, EnrolReply, TokenIssued
from tiercast_server.below import Below


async def test_tokens_children_and_dismissals_reach_the_broker(rooted: Any) -> None:
    below = rooted.parts.below
    expires = rooted.region.clock() + 60_000
    await below.issue_token(TokenIssued(token_id="aa", password_hash="$7$1$x$y", parent="server", expires=expires))
    assert rooted.subtree.enrolment.known("join-aa")
    node = Admitted(
        name="pc1", role="endpoint", parent="server", public_key=bytes(32), password_hash="$7$1$x$y", generation=1
    )
    await below.admit(node)
    assert [(child.name, child.online) for child in below.children()] == [("pc1", False)]
    await below.tell("pc1", EnrolReply(token_id="aa", accepted=True), cause="c")
    assert [p.peer for p in await rooted.subtree.post.pending(10)] == ["pc1"]
    await below.dismiss(Dismissed(name="pc1"))
    assert below.children() == []
    assert below.children_url().startswith("mqtt://127.0.0.1:")
    assert (await below.snapshot())["name"] == "server"
    assert below.sending_rate() == 0


async def test_nobody_is_told_what_can_not_reach_him(rooted: Any) -> None:
    with pytest.raises(UsageError) as caught:
        await rooted.parts.below.tell("nobody", EnrolReply(token_id="x", accepted=False), cause="")
    assert caught.value.code == "node.unknown"


def test_before_the_ring_is_closed() -> None:
    with pytest.raises(RuntimeError):
        Below().children_url()
