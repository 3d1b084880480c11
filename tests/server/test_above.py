"""What comes all the way up is acted on in the region."""

import asyncio
from typing import Any

import pytest

from tiercast_mqtt.password import hash_password
from tiercast_protocol.content.sealed.digest import digest_of
from tiercast_protocol.content.trust.credential import Token
from tiercast_protocol.content.trust.joining import make_request
from tiercast_protocol.content.trust.keys import PrivateKey
from tiercast_protocol.errors import MessageInvalid
from tiercast_protocol.wire.envelope import wrap
from tiercast_protocol.wire.messages import Hello, Status


async def test_a_request_to_join_is_answered_through_the_tree(rooted: Any) -> None:
    made = await rooted.parts.enrolment.invite("pc1", "endpoint", "", 60, url="mqtt://h:1")
    await rooted.parts.handover.drain()
    token = Token.from_text(made["token"])
    request = make_request(token, PrivateKey.generate(), hash_password("x", iterations=1))
    await rooted.above.forward(wrap("enrol.request.v1", request, sender=f"join-{token.token_id}"))
    await rooted.parts.handover.drain()
    assert [user.name for user in rooted.subtree.enrolment.children()] == ["pc1"]
    pending = await rooted.subtree.post.pending(10)
    assert [(p.peer, p.kind) for p in pending] == [(f"join-{token.token_id}", "enrol.reply.v1")]


async def test_what_the_library_lacks_is_absent_and_never_from_inside(
    rooted: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[tuple[str, bytes]] = []
    done = asyncio.Event()
    monkeypatch.setattr(rooted.subtree, "chunk_absent", lambda digest, reason: said.append((reason, digest)))
    monkeypatch.setattr(rooted.subtree, "chunk_arrived", lambda digest, _: (said.append(("", digest)), done.set()))
    stored = b"\x00here"
    held = digest_of(b"here")
    await rooted.library.keep([(held, stored)])
    rooted.above.want([bytes(32), held])
    assert said == []
    async with asyncio.timeout(60):
        await done.wait()
    assert said == [("unknown", bytes(32)), ("", held)]
    rooted.above.unwant([held])


async def test_what_is_being_repaired_is_answered_by_the_repair(rooted: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    absent: list[tuple[bytes, str]] = []
    monkeypatch.setattr(rooted.subtree, "chunk_absent", lambda digest, reason: absent.append((digest, reason)))
    rooted.subtree.upkeep.repair._sought.add(bytes(32))
    rooted.above.want([bytes(32), b"x" * 32])
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert absent == [(b"x" * 32, "unknown")]


async def test_garbage_is_the_peers_fault_and_strange_kinds_are_dropped(rooted: Any) -> None:
    for kind in ("enrol.request.v1", "status.v1", "answer.v1"):
        with pytest.raises(MessageInvalid):
            await rooted.above.forward(wrap(kind, [1, 2], sender="x"))
    await rooted.above.forward(wrap("from.the.future.v9", {"a": 1}, sender="x"))
    await rooted.above.send(Hello(boot=b""))
    await rooted.above.send(Status(records=[]))
    assert (rooted.above.parent, rooted.above.connected) == ("", True)
    with pytest.raises(RuntimeError):
        await rooted.above.transmit(b"")
