"""Joining a region: over a real (embedded) broker, with a region that is a few lines."""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiomqtt
import msgspec
import pytest

from authority import Authority
from tiercast_mqtt.password import hash_password, verify_password
from tiercast_protocol.content.trust.credential import Credential, Token, sign_credential
from tiercast_protocol.content.trust.joining import check_key, check_proof, join_password, join_user
from tiercast_protocol.content.trust.keys import PrivateKey
from tiercast_protocol.errors import UsageError
from tiercast_protocol.node import enrol, joined
from tiercast_protocol.node.access import render_acl, render_users
from tiercast_protocol.wire.envelope import open_, seal, wrap
from tiercast_protocol.wire.messages import EnrolReply, EnrolRequest, body_of
from tiercast_protocol.wire.topics import Topics

REGION, PARENT, SECRET = "lab", "server", bytes(range(32))


@dataclass
class FakeRegion:
    """A broker with one token, and an answer."""

    token: Token
    key: PrivateKey
    says: dict[str, object] = field(default_factory=dict)
    signed_by: PrivateKey | None = None
    requests: list[EnrolRequest] = field(default_factory=list)

    def reply(self, request: EnrolRequest) -> EnrolReply:
        check_key(request)
        check_proof(request, SECRET)
        credential = Credential(
            region=REGION,
            name=str(self.says.get("name", request.name)),
            role=request.role,
            parent=PARENT,
            public_key=request.public_key,
            generation=1,
            issued=1,
            server=PARENT,
        )
        data, signature = sign_credential(credential, self.signed_by or self.key)
        return EnrolReply(token_id=request.token_id, accepted=True, credential=data, signature=signature)

    async def serve(self, url: str, ready: asyncio.Event) -> None:
        host, _, port = url.removeprefix("mqtt://").partition(":")
        topics, me = Topics(REGION), join_user(self.token.token_id)
        async with aiomqtt.Client(host, int(port), username=PARENT, password="owner", identifier=PARENT) as client:
            await client.subscribe(topics.up("+"), qos=1)
            ready.set()
            async for message in client.messages:
                assert isinstance(message.payload, bytes)
                envelope = open_(message.payload)
                if envelope.kind == "ack.v1":
                    continue
                request = body_of(envelope, EnrolRequest)
                self.requests.append(request)
                reply = self.says.get("reply") or self.reply(request)
                if reply == "nothing":
                    continue
                back = wrap("enrol.reply.v1", reply, sender=PARENT, to=me)
                await client.publish(topics.down(PARENT, me), seal(back), qos=1)


@asynccontextmanager
async def region(tmp_path: Path, **says: object) -> AsyncIterator[FakeRegion]:
    (tmp_path / "acl").write_text(render_acl(REGION, PARENT))
    users = {PARENT: hash_password("owner"), join_user("t1"): hash_password(join_password(SECRET))}
    (tmp_path / "users").write_text(render_users(users))
    config = {"listen": [{"host": "127.0.0.1", "port": 0}], "users_file": "users", "acl_file": "acl"}
    (tmp_path / "broker.json").write_text(json.dumps(config))
    broker = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tiercast_mqtt", "--config", str(tmp_path / "broker.json")),
        stdout=asyncio.subprocess.PIPE,
        env={"PYTHONPATH": "protocol", "PATH": "/usr/bin:/bin"},
    )
    try:
        assert broker.stdout is not None
        async with asyncio.timeout(60):
            port = json.loads(await broker.stdout.readline())["listening"][0]["port"]
        key = PrivateKey.generate()
        found = FakeRegion(a_token(key, url=f"mqtt://127.0.0.1:{port}"), key, dict(says))
        async with asyncio.TaskGroup() as tasks:
            ready = asyncio.Event()
            task = tasks.create_task(found.serve(found.token.url, ready))
            async with asyncio.timeout(60):
                await ready.wait()
            yield found
            task.cancel()
    finally:
        broker.terminate()
        await broker.communicate()


def a_token(key: PrivateKey, *, url: str = "mqtt://127.0.0.1:1", **changes: object) -> Token:
    token = Token(
        region=REGION,
        parent=PARENT,
        url=url,
        token_id="t1",
        secret=SECRET,
        name="pc1",
        role="endpoint",
        region_key=key.public,
        expires=time.time_ns() // 1_000_000 + 60_000,
    )
    return msgspec.structs.replace(token, **changes)


async def join(token: Token, folder: Path, deadline_s: float = 10, **options: str) -> joined.Enrolled:
    return await enrol.join(
        token.text(),
        role=options.get("role", "endpoint"),
        folder=folder,
        name=options.get("name", ""),
        deadline_s=deadline_s,
    )


async def test_a_node_joins_and_knows_itself_afterwards(tmp_path: Path) -> None:
    async with region(tmp_path) as found:
        enrolled = await join(found.token, tmp_path / "node")
        again = joined.load(tmp_path / "node", role="endpoint")
        with pytest.raises(UsageError, match="joined as an endpoint") as raised:
            joined.load(tmp_path / "node", role="gateway")
        assert "tiercast-endpoint run" in raised.value.todo
        assert (again.name, again.parent, again.region_key) == ("pc1", PARENT, found.key.public)
        assert (again.login, again.key.public) == (enrolled.login, enrolled.key.public)
        assert verify_password(again.password, found.requests[0].password_hash)
        for file in (tmp_path / "node").iterdir():
            assert file.stat().st_mode & 0o077 == 0, file.name
        with pytest.raises(UsageError, match="joined already"):
            await join(found.token, tmp_path / "node")


async def test_a_join_that_was_cut_off_asks_again_with_the_same_key(tmp_path: Path) -> None:
    async with region(tmp_path, reply="nothing") as found:
        with pytest.raises(UsageError, match="did not answer") as raised:
            await join(found.token, tmp_path / "node", 1.0)
        assert raised.value.code == "enrol.unanswered"
        del found.says["reply"]
        await join(found.token, tmp_path / "node")
        assert len({request.public_key for request in found.requests}) == 1
        assert len({request.token_id for request in found.requests}) == 1


async def test_what_a_joined_node_needs_is_written_before_it_has_joined(tmp_path: Path) -> None:
    seen: list[bool] = []
    async with region(tmp_path) as found:
        await enrol.join(
            found.token.text(),
            role="endpoint",
            folder=tmp_path / "node",
            before_saved=lambda: seen.append((tmp_path / "node" / joined.ENROLLED_FILE).exists()),
        )
    assert seen == [False]


async def test_a_refusal_is_told(tmp_path: Path) -> None:
    no = EnrolReply(token_id="t1", accepted=False, code="token.used", reason="the token was used already")
    async with region(tmp_path, reply=no) as found:
        with pytest.raises(UsageError, match="used already") as raised:
            await join(found.token, tmp_path / "node")
        assert raised.value.code == "token.used"
        assert not (tmp_path / "node" / joined.ENROLLED_FILE).exists()


@pytest.mark.parametrize("what", ["key", "name"])
async def test_an_answer_that_the_region_did_not_sign_for_us_is_no_answer(tmp_path: Path, what: str) -> None:
    async with region(tmp_path, **({"name": "pc2"} if what == "name" else {})) as found:
        if what == "key":
            found.signed_by = PrivateKey.generate()
        with pytest.raises(UsageError) as raised:
            await join(found.token, tmp_path / "node")
        assert raised.value.code == "enrol.forged"


async def test_a_wrong_secret_is_a_refused_token(tmp_path: Path) -> None:
    async with region(tmp_path) as found:
        with pytest.raises(UsageError) as raised:
            await join(msgspec.structs.replace(found.token, secret=bytes(32)), tmp_path / "node", 1.5)
        assert raised.value.code == "token.refused"


async def test_a_parent_whose_certificate_nobody_vouches_for_is_told_at_once(tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*Authority(tmp_path / "authority", "private").issue("gw"))
    async with await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", ssl=context) as server:
        token = a_token(PrivateKey.generate(), url=f"mqtts://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        with pytest.raises(UsageError, match="--ca FILE") as raised:
            await join(token, tmp_path / "node", 20.0)
    assert raised.value.code == "broker.certificate"


async def test_a_parent_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as raised:
        await join(a_token(PrivateKey.generate()), tmp_path / "node", 1.0)
    assert raised.value.code == "parent.unreachable"


@pytest.mark.parametrize(
    ("changes", "options", "code"),
    [
        ({"expires": 1}, {}, "token.expired"),
        ({"role": "gateway"}, {}, "token.role"),
        ({}, {"name": "pc2"}, "token.name"),
    ],
)
async def test_what_can_be_told_before_asking(
    tmp_path: Path, changes: dict[str, object], options: dict[str, str], code: str
) -> None:
    with pytest.raises(UsageError) as raised:
        await join(a_token(PrivateKey.generate(), **changes), tmp_path / "node", **options)
    assert raised.value.code == code
    assert not (tmp_path / "node").exists()


async def test_a_text_that_is_no_token(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as raised:
        await enrol.join("tcj1-abc", role="endpoint", folder=tmp_path / "node")
    assert raised.value.code == "token.invalid"
