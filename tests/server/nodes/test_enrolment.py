"""Tokens and joining nodes: one use, one key, one name."""

import asyncio
from typing import Any

import msgspec
import pytest
from sqlalchemy import select

from tiercast_mqtt.password import verify_password
from tiercast_protocol.content.trust.credential import open_credential
from tiercast_protocol.content.trust.joining import join_password, make_request
from tiercast_protocol.content.trust.keys import PrivateKey
from tiercast_protocol.errors import UsageError
from tiercast_protocol.wire.messages import Admitted, Dismissed, EnrolReply, TokenIssued
from tiercast_server.database.tables import nodes, tokens
from tiercast_server.handover import Handover


async def test_a_node_joins(world: Any) -> None:
    token = await world.invite("pc1")
    (issued,) = world.tree.of(TokenIssued)
    assert (issued.token_id, issued.parent, issued.expires) == (token.token_id, "server", token.expires)
    assert verify_password(join_password(token.secret), issued.password_hash)
    key = PrivateKey.generate()
    reply = await world.ask(token, key)
    credential = open_credential(reply.credential, reply.signature, token.region_key)
    assert (credential.name, credential.parent, credential.generation) == ("pc1", "server", 1)
    assert (credential.public_key, credential.server) == (key.public, "server")
    (admitted,) = world.tree.of(Admitted)
    assert (admitted.name, admitted.public_key, admitted.token_id) == ("pc1", key.public, token.token_id)
    assert [to for to, message in world.tree.said if isinstance(message, EnrolReply)] == [f"join-{token.token_id}"]
    async with world.region.db.read() as connection:
        assert (await connection.execute(select(tokens.c.secret))).scalar_one() == b""


async def test_the_same_key_may_ask_again_and_another_may_not(world: Any) -> None:
    token, key = await world.invite("pc1"), PrivateKey.generate()
    first = await world.ask(token, key)
    assert await world.ask(token, key) == first
    other = await world.ask(token, PrivateKey.generate())
    assert (other.accepted, other.code) == (False, "token.used")
    assert len(world.tree.of(Admitted)) == 1


async def test_of_two_that_race_exactly_one_wins(world: Any) -> None:
    token = await world.invite("pc1")
    keys = [PrivateKey.generate() for _ in range(8)]
    async with asyncio.TaskGroup() as tasks:
        for key in keys:
            tasks.create_task(world.enrolment.request(make_request(token, key, _hash(world))))
    await world.handover.drain()
    replies = world.tree.of(EnrolReply)
    assert [reply.accepted for reply in replies].count(True) == 1
    assert {reply.code for reply in replies} == {"", "token.used"}
    async with world.region.db.read() as connection:
        assert (await connection.execute(select(nodes.c.generation))).scalar_one() == 1


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"token_id": "00000000"}, "token.unknown"),
        ({"proof": bytes(32)}, "token.proof"),
        ({"signature": bytes(64)}, "enrol.key-not-held"),
        ({"name": "pc2"}, "enrol.key-not-held"),
        ({"role": "gateway"}, "token.other-role"),
        ({"public_key": b"short"}, "enrol.malformed"),
        ({"password_hash": "$7$1$AAAA$AAAA\nroot:$7$"}, "enrol.malformed"),
        ({"password_hash": ""}, "enrol.malformed"),
    ],
)
async def test_a_wrong_request_is_refused_and_the_token_stays_good(world: Any, change: Any, code: str) -> None:
    token, key = await world.invite("pc1"), PrivateKey.generate()
    await world.enrolment.request(msgspec.structs.replace(make_request(token, key, _hash(world)), **change))
    await world.handover.drain()
    reply = world.tree.of(EnrolReply)[-1]
    assert (reply.accepted, reply.code, bool(reply.reason)) == (False, code, True)
    assert (await world.ask(token, key)).accepted


async def test_a_token_for_another_name(world: Any) -> None:
    token = msgspec.structs.replace(await world.invite("pc1"), name="pc2")
    assert (await world.ask(token, PrivateKey.generate())).code == "token.other-name"


async def test_a_late_token(world: Any) -> None:
    token = await world.invite("pc1", ttl_s=60)
    world.now[0] += 60_000
    assert (await world.ask(token, PrivateKey.generate())).code == "token.expired"


async def test_a_newer_token_voids_the_older(world: Any) -> None:
    old, new = await world.invite("pc1"), await world.invite("pc1")
    assert (await world.ask(old, PrivateKey.generate())).code == "token.unknown"
    assert (await world.ask(new, PrivateKey.generate())).accepted


async def test_a_copied_machine_needs_its_own_key(world: Any) -> None:
    first = await world.join("pc1")
    assert (await world.ask(await world.invite("pc2"), first.key)).code == "enrol.key-taken"


async def test_replacing_needs_to_be_said_and_raises_the_generation(world: Any) -> None:
    await world.join("pc1")
    with pytest.raises(UsageError, match="--replace"):
        await world.invite("pc1")
    again = await world.join("pc1", replace=True)
    assert again.credential.generation == 2
    with pytest.raises(UsageError) as caught:
        await world.invite("pc1", "gateway", replace=True)
    assert caught.value.code == "node.conflict"


async def test_a_removed_name_comes_back_with_a_higher_generation(world: Any) -> None:
    await world.join("pc1")
    await world.enrolment.remove("pc1")
    await world.handover.drain()
    assert world.tree.of(Dismissed) == [Dismissed(name="pc1")]
    with pytest.raises(UsageError) as caught:
        await world.enrolment.remove("pc1")
    assert caught.value.code == "node.unknown"
    assert (await world.join("pc1")).credential.generation == 2


async def test_a_removed_node_does_not_get_in_with_its_old_token(world: Any) -> None:
    token, key = await world.invite("pc1"), PrivateKey.generate()
    await world.ask(token, key)
    await world.enrolment.remove("pc1")
    assert (await world.ask(token, key)).code == "token.unknown"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("-x", "endpoint", ""), "name.invalid"),
        (("join-x", "endpoint", ""), "name.invalid"),
        (("x", "server", ""), "node.role"),
        (("x", "endpoint", "nowhere"), "node.unknown"),
        (("x", "endpoint", "pc1"), "parent.invalid"),
        (("server", "gateway", ""), "node.exists"),
    ],
)
async def test_wrong_invitations(world: Any, arguments: tuple[str, str, str], code: str) -> None:
    await world.join("pc1")
    with pytest.raises(UsageError) as caught:
        await world.invite(*arguments)
    assert caught.value.code == code


async def test_below_a_gateway(world: Any) -> None:
    with pytest.raises(UsageError):
        await world.invite("pc1", parent="gw")
    await world.join("gw", "gateway")
    assert (await world.join("pc1", parent="gw")).credential.parent == "gw"
    with pytest.raises(UsageError) as caught:
        await world.enrolment.remove("gw")
    assert caught.value.code == "node.in-use"


async def test_what_was_decided_before_a_kill_is_told_after_it(world: Any) -> None:
    token, key = await world.invite("pc1"), PrivateKey.generate()
    await world.enrolment.request(make_request(token, key, _hash(world)))
    assert not world.tree.of(Admitted)
    # the process ends here; the next one finds it in the database
    assert await Handover(world.region.db, world.tree).drain() == 2
    assert len(world.tree.of(Admitted)) == len(world.tree.of(EnrolReply)) == 1


def _hash(world: Any) -> str:
    from tiercast_mqtt.password import hash_password  # noqa: PLC0415 - only here

    return hash_password("x", iterations=1)
