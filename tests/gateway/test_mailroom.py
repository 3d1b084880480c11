"""Messages that come the wrong way do nothing; what is for others is passed on."""

from __future__ import annotations

from pathlib import Path

from tests.support.hop import FakeAbove, admitted, child_node, order_for, parent_node, until

from tiercast_protocol.content.trust.keys import PrivateKey
from tiercast_protocol.wire.drift import Assigned, DriftTold
from tiercast_protocol.wire.envelope import Envelope, seal, wrap
from tiercast_protocol.wire.messages import (
    Answer,
    Dismissed,
    EnrolReply,
    EnrolRequest,
    Message,
    Query,
    Status,
    TokenIssued,
)

KEY = PrivateKey.generate()
REQUEST = EnrolRequest(
    token_id="t", name="n", role="endpoint", public_key=b"", password_hash="", proof=b"", signature=b""
)


async def test_a_child_can_give_no_orders_admit_nobody_and_ask_nothing(tmp_path: Path) -> None:
    async with parent_node(tmp_path, children=["pc"], above=FakeAbove(parent="top"), key=KEY) as tree:
        wrong: list[Message] = [
            order_for(KEY, {"pc": b"p" * 32}, root=b"r" * 32),
            admitted("evil", "parent"),
            TokenIssued(token_id="evil", password_hash="$7$x", parent="parent", expires=0),
            Dismissed(name="pc"),
            Query(verb="status"),
            Assigned(name="editor", seq=1, requires="editor", nodes=["pc"]),
        ]
        async with child_node(tmp_path, "pc", tree.broker.children_url) as child:
            for message in wrong:
                await child.post.send("parent", message)
            await child.post.send("parent", Status(records=[]))
            await until(lambda: tree.post.counts["handled"] >= len(wrong) + 1)
            assert await tree.orders.list() == []
            assert sorted(tree.enrolment.users) == ["pc"]
            assert tree.drift.known() == []
            assert tree.routes.via("pc") == "pc"


async def test_requests_and_what_is_for_others_go_up_as_they_are(tmp_path: Path) -> None:
    above = FakeAbove()
    async with parent_node(tmp_path, children=["pc"], above=above, key=KEY) as tree:
        async with child_node(tmp_path, "pc", tree.broker.children_url) as child:
            await child.post.send("parent", REQUEST)
            await child.post.send("parent", Answer(query=b"q"), to="server", cause="why")
            await until(lambda: len(above.forwarded) == 2)
        assert [(e.kind, e.sender, e.to) for e in above.forwarded] == [
            ("enrol.request.v1", "pc", ""),
            ("answer.v1", "pc", "server"),
        ]
        assert above.forwarded[1].cause == "why"


async def test_what_comes_down_for_another_node_takes_its_route_or_is_dropped(tmp_path: Path) -> None:
    got: list[Envelope] = []

    async def take(peer: str, envelope: Envelope) -> None:
        got.append(envelope)

    async with (
        parent_node(tmp_path, children=["pc"], above=FakeAbove(parent="top"), key=KEY) as tree,
        child_node(tmp_path, "pc", tree.broker.children_url) as child,
    ):
        child.post.on("enrol.reply.v1", take)
        reply = EnrolReply(token_id="t", accepted=False)
        for to in ("nobody", "pc"):
            await tree.post.received("top", seal(wrap("enrol.reply.v1", reply, sender="top", to=to)))
        await until(lambda: bool(got))
        assert (got[0].to, got[0].hops) == ("pc", 1)


async def test_what_can_never_be_done_is_not_repeated(tmp_path: Path) -> None:
    async with parent_node(tmp_path, children=[], above=FakeAbove(parent="top"), key=KEY) as tree:
        lost = admitted("x", "nowhere")
        await tree.post.received("top", seal(wrap("node.admitted.v1", lost, sender="top")))
        await tree.post.received("top", seal(wrap("node.admitted.v1", admitted("pc", "parent"), sender="top")))
        await until(lambda: tree.enrolment.known("pc"))
        assert tree.routes.via("x") is None


async def test_what_a_gateway_below_says_of_its_children_goes_up_and_of_others_not(tmp_path: Path) -> None:
    above = FakeAbove()
    async with parent_node(tmp_path, children=["site"], above=above, key=KEY) as tree:
        own = DriftTold(node="site", name="editor", of=1, at=2, counts={"holds": 3})
        async with child_node(tmp_path, "site", tree.broker.children_url) as child:
            await child.post.send("parent", DriftTold(node="other", name="editor", of=1, at=2))
            await child.post.send("parent", own)
            await until(lambda: tree.post.counts["handled"] >= 2)
        assert [message for message, _ in above.said if isinstance(message, DriftTold)] == [own]
