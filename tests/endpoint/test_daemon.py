"""The agent as a process, below a parent that is a broker and a page of code."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path

import aiomqtt
import pytest
from tests.endpoint.lab import ME, PARENT, REGION, Package, Region, pack

from tiercast_endpoint.joining import join
from tiercast_endpoint.settings import Settings
from tiercast_mqtt.password import hash_password
from tiercast_protocol.content.jobs.receipt import open_receipt
from tiercast_protocol.content.trust.credential import Credential, sign_credential
from tiercast_protocol.errors import UsageError
from tiercast_protocol.node import joined, settings_file
from tiercast_protocol.node.access import render_acl, render_users
from tiercast_protocol.node.control.client import connect
from tiercast_protocol.node.places import place
from tiercast_protocol.wire import codec, frame
from tiercast_protocol.wire.envelope import Envelope, open_, seal, wrap
from tiercast_protocol.wire.frame import pieces_head
from tiercast_protocol.wire.messages import (
    Ack,
    Answer,
    Hello,
    Message,
    Piece,
    Query,
    Report,
    Status,
    StatusRecord,
    body_of,
)
from tiercast_protocol.wire.topics import Topics

REPOSITORY = Path(__file__).parents[2]
TOPICS = Topics(REGION)


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": ":".join([str(REPOSITORY), *sys.path])}


@dataclass
class Parent:
    """Gives what is asked for, keeps what is said; `deaf` acknowledges nothing."""

    client: aiomqtt.Client
    chunks: dict[bytes, bytes] = field(default_factory=dict)
    given: list[bytes] = field(default_factory=list)
    records: list[StatusRecord] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    arrived: asyncio.Condition = field(default_factory=asyncio.Condition)
    deaf: bool = False
    acknowledged: set[bytes] = field(default_factory=set)
    stingy: int = -1
    hellos: int = 0

    async def say(self, message: Message, kind: str, *, to: str = "") -> bytes:
        envelope = wrap(kind, message, sender=PARENT, to=to)
        await self.client.publish(TOPICS.down(PARENT, ME), seal(envelope), qos=1)
        return envelope.id

    async def until(self, true: object) -> None:
        async with asyncio.timeout(60), self.arrived:
            await self.arrived.wait_for(true)  # type: ignore[arg-type]

    async def order(self, region: Region, job: str, type_: str, package: Package) -> StatusRecord:
        bundle = region.bundle(region.order(job, type_, package))
        await self.say(bundle, "order.v1")
        return await self.final(job)

    async def final(self, job: str) -> StatusRecord:
        await self.until(lambda: any(r.job == job and r.receipt for r in self.records))
        return next(r for r in self.records if r.job == job and r.receipt)

    async def listen(self) -> None:
        async for message in self.client.messages:
            assert isinstance(message.payload, bytes)
            if str(message.topic) == TOPICS.report(ME):
                await self._give(codec.decode(frame.unguarded(message.payload), Report))
                continue
            async with self.arrived:
                await self._hear(open_(message.payload))
                self.arrived.notify_all()

    async def _hear(self, envelope: Envelope) -> None:
        if envelope.kind == "ack.v1":
            self.acknowledged |= set(body_of(envelope, Ack).ids)
        elif envelope.kind == "status.v1":
            self.records += body_of(envelope, Status).records
        elif envelope.kind == "answer.v1":
            self.answers.append(body_of(envelope, Answer))
        elif envelope.kind == "hello.v1":
            self.hellos += 1
        if envelope.kind in {"status.v1", "answer.v1"} and not self.deaf:
            await self.say(Ack(ids=[envelope.id]), "ack.v1")

    async def _give(self, report: Report) -> None:
        for at in range(0, len(report.wants), 32):
            digest = report.wants[at : at + 32]
            if self.stingy == 0:
                return
            self.stingy -= 1
            stored = self.chunks[digest]
            head = pieces_head([Piece(digest, len(stored), 0, len(stored))])
            self.given.append(digest)
            await self.client.publish(TOPICS.bulk(PARENT, ME), head + stored, qos=0)


@asynccontextmanager
async def parent(folder: Path) -> AsyncIterator[tuple[Parent, str]]:
    folder.mkdir()
    (folder / "acl").write_text(render_acl(REGION, PARENT))
    (folder / "users").write_text(render_users({PARENT: hash_password("owner"), ME: hash_password("mine")}))
    config = {"listen": [{"host": "127.0.0.1", "port": 0}], "users_file": "users", "acl_file": "acl"}
    (folder / "broker.json").write_text(json.dumps(config))
    broker = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tiercast_mqtt", "--config", str(folder / "broker.json")),
        stdout=asyncio.subprocess.PIPE,
        env=environment(),
    )
    try:
        assert broker.stdout is not None
        async with asyncio.timeout(60):
            port = json.loads(await broker.stdout.readline())["listening"][0]["port"]
        async with aiomqtt.Client("127.0.0.1", port, username=PARENT, password="owner", identifier=PARENT) as client:
            await client.subscribe(TOPICS.up("+"), qos=1)
            await client.subscribe(TOPICS.report("+"), qos=0)
            found = Parent(client)
            async with asyncio.TaskGroup() as tasks:
                task = tasks.create_task(found.listen())
                yield found, f"mqtt://127.0.0.1:{port}"
                task.cancel()
    finally:
        broker.terminate()
        await broker.communicate()


def enrolled(folder: Path, region: Region, url: str) -> None:
    """What `join` would have left."""
    folder.mkdir(mode=0o700)
    region.node_key.save(folder / joined.KEY_FILE)
    (folder / joined.PASSWORD_FILE).write_text("mine\n")
    credential = Credential(
        region=REGION, name=ME, role="endpoint", parent=PARENT, public_key=region.node_key.public, generation=1,
        issued=1, server=PARENT,
    )  # fmt: skip
    data, signature = sign_credential(credential, region.key)
    joined.save(
        folder,
        joined.Enrolled(
            ME, "endpoint", REGION, PARENT, PARENT, 1, url, "mine", region.node_key, region.key.public, data, signature
        ),
    )
    settings_file.write(folder / "endpoint.toml", Settings(install_root=folder.parent / "apps"))


@asynccontextmanager
async def daemon(folder: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tiercast_endpoint", "run", "--state", str(folder)),
        stderr=asyncio.subprocess.PIPE,
        env=environment(),
    )
    try:
        assert process.stderr is not None
        async with asyncio.timeout(60):
            while b'"ready"' not in (line := await process.stderr.readline()):
                assert line, "the agent ended before it was ready"
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def stop(process: asyncio.subprocess.Process) -> int:
    process.terminate()
    async with asyncio.timeout(60):
        await process.communicate()
    return process.returncode if process.returncode is not None else -1


async def run_tool(folder: Path, *arguments: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tiercast_endpoint", *arguments, "--state", str(folder)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment(),
    )
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


FILES: dict[str, bytes | str | None] = {"a": None, "a/f": os.urandom(300_000), "b": b"small"}


async def test_the_agent_installs_answers_and_stops(tmp_path: Path, region: Region) -> None:
    package = pack("hello", "1.0", FILES)
    async with parent(tmp_path / "parent") as (above, url):
        above.chunks.update(package.chunks)
        folder = tmp_path / "pc1"
        enrolled(folder, region, url)
        async with daemon(folder) as process:
            await above.until(lambda: above.hellos)
            await above.say(Hello(boot=b"lane"), "hello.v1", to=ME)
            record = await above.order(region, "j1", "install", package)
            assert open_receipt(record.receipt, record.signature, region.node_key.public).state == "done"
            assert (tmp_path / "apps/hello/a/f").read_bytes() == FILES["a/f"]
            async with connect(place("endpoint", folder).socket) as client:
                status = await client.call("status")
                assert (status["name"], status["parent"]["connected"], status["packages"]) == (ME, True, 1)
                assert [p["version"] for p in await client.call("packages")] == ["1.0"]
                assert (await client.call("job.show", job="j1"))["state"] == "done"
            query = await above.say(Query(verb="packages"), "query.v1", to=ME)
            await above.until(lambda: any(a.query == query for a in above.answers))
            for command, expected in (("status", "connected"), ("packages", "hello=1.0"), ("jobs", "done")):
                code, out, err = await run_tool(folder, command)
                assert (code, err) == (0, "")
                assert expected in out
            code, out, _ = await run_tool(folder, "job", "j1", "--json")
            assert json.loads(out)["job"]["package"] == "hello"
            code, _, err = await run_tool(folder, "job", "none")
            assert code == 2
            assert "No job" in err
            code, _, err = await run_tool(folder, "run")
            assert code == 1
            assert "another daemon uses it" in err
            assert await stop(process) == 0
        code, _, err = await run_tool(folder, "status")
        assert code == 3


def durable(folder: Path) -> int:
    """How many chunks the index of the agent's store names: their bytes lie on its disk."""
    with closing(sqlite3.connect(f"file:{folder}/staging/index.db?mode=ro", uri=True)) as index:
        return int(index.execute("SELECT count(*) FROM chunks").fetchone()[0])


async def test_an_agent_that_is_killed_goes_on_and_fetches_nothing_twice(tmp_path: Path, region: Region) -> None:
    files = {f"f{number}": os.urandom(60_000) for number in range(40)}
    package = pack("hello", "1.0", dict(files))
    async with parent(tmp_path / "parent") as (above, url):
        above.chunks.update(package.chunks)
        above.stingy = 30
        folder = tmp_path / "pc1"
        enrolled(folder, region, url)
        bundle = region.bundle(region.order("j1", "install", package))
        async with daemon(folder) as process:
            await above.until(lambda: above.hellos)
            order = await above.say(bundle, "order.v1")
            await above.until(lambda: order in above.acknowledged)
            async with asyncio.timeout(60):
                while durable(folder) < 30:  # noqa: ASYNC110 - another process's disk has no event for us
                    await asyncio.sleep(0.05)
            process.send_signal(signal.SIGKILL)
            await process.communicate()
        given = list(above.given)
        above.stingy = -1
        async with daemon(folder) as process:
            assert (await above.final("j1")).state == "done"
            assert {p.name: p.read_bytes() for p in (tmp_path / "apps/hello").iterdir()} == files
            assert not set(above.given[len(given) :]) & set(given), "durable chunks are not fetched again"
            assert await stop(process) == 0


async def test_a_receipt_is_repeated_until_it_is_acknowledged(tmp_path: Path, region: Region) -> None:
    package = pack("hello", "1.0", FILES)
    async with parent(tmp_path / "parent") as (above, url):
        above.chunks.update(package.chunks)
        above.deaf = True
        folder = tmp_path / "pc1"
        enrolled(folder, region, url)
        async with daemon(folder) as process:
            await above.until(lambda: above.hellos)
            first = await above.order(region, "j1", "install", package)
            process.send_signal(signal.SIGKILL)
            await process.communicate()
        above.records.clear()
        above.deaf = False
        async with daemon(folder) as process:
            assert await above.final("j1") == first
            assert await stop(process) == 0


@pytest.mark.parametrize(
    ("spoil", "code", "says"),
    [
        (lambda folder: (folder / "enrolled.json").unlink(), 2, "has not joined"),
        (lambda folder: (folder / "endpoint.toml").write_text("instal_root = 1\nreserve = 'x'"), 2, "3 mistakes"),
        (lambda folder: (folder / "node.key").chmod(0o644), 1, "read by others"),
        (lambda folder: (folder / "endpoint.toml").write_text("install_root = '/dev/null/x'"), 1, "install root"),
    ],
)
async def test_what_a_human_must_mend_is_said(
    tmp_path: Path, region: Region, spoil: object, code: int, says: str
) -> None:
    folder = tmp_path / "pc1"
    enrolled(folder, region, "mqtt://127.0.0.1:1")
    spoil(folder)  # type: ignore[operator]
    found, _, err = await run_tool(folder, "run")
    assert (found, says in err) == (code, True), err
    assert "Traceback" not in err


async def test_a_bad_install_root_costs_no_token(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError) as caught:
        await join("no token", place("endpoint", tmp_path / "pc1"), install_root=tmp_path / "file", name="")
    assert caught.value.code == "root.invalid"
    assert not (tmp_path / "pc1").exists()


async def test_a_restart_by_order_ends_no_program_and_is_answered_by_the_next_life(
    tmp_path: Path, region: Region
) -> None:
    gate, log = tmp_path / "gate", tmp_path / "log"
    os.mkfifo(gate)
    async with parent(tmp_path / "parent") as (above, url):
        folder = tmp_path / "pc1"
        enrolled(folder, region, url)
        async with daemon(folder) as process:
            await above.until(lambda: above.hellos)
            script = f"cat {gate} >> {log}"
            argv = {"argv": json.dumps(["sh", "-c", script])}
            for job, type_, said in (
                ("j1", "run", argv),
                ("j2", "restart", {}),
                ("j3", "message", {"text": "Back soon.", "title": "Restart"}),
            ):
                await above.say(region.bundle(region.order(job, type_, None, options=dict(said))), "order.v1")
            assert (await above.final("j3")).state == "done"
            await above.until(lambda: any(r.job == "j2" and r.state == "running" for r in above.records))
            assert not [r for r in above.records if r.job == "j2" and r.receipt]
            hellos = above.hellos
            await asyncio.to_thread(gate.write_text, "seen to its end\n")
            assert (await above.final("j1")).state == "done"
            assert (await above.final("j2")).state == "done"
            assert above.hellos > hellos, "another life said hello"
            assert process.returncode is None, "the process is the same"
            assert log.read_text() == "seen to its end\n"
            code, out, err = await run_tool(folder, "messages", "--unread")
            assert (code, err) == (0, "")
            assert "Restart  (new)" in out
            assert "    Back soon." in out
            assert (await run_tool(folder, "messages", "--read", "1"))[0] == 0
            code, out, _ = await run_tool(folder, "messages", "--unread", "--json")
            assert json.loads(out)["messages"] == []
            for wrong in ("7", "x"):
                code, _, err = await run_tool(folder, "messages", "--read", wrong)
                assert (code, "tiercast-endpoint messages" in err) == (2, True)
            assert await stop(process) == 0


async def test_who_stops_the_agent_while_a_restart_is_ordered_has_it_stopped(tmp_path: Path, region: Region) -> None:
    async with parent(tmp_path / "parent") as (above, url):
        folder = tmp_path / "pc1"
        enrolled(folder, region, url)
        async with daemon(folder) as process:
            await above.until(lambda: above.hellos)
            order = region.order("j1", "restart", None, options={"install_when": "shutdown"})
            await above.say(region.bundle(order), "order.v1")
            await above.until(lambda: any(r.job == "j1" and r.code == "agent.stop" for r in above.records))
            assert await stop(process) == 0, "and not another life"
        assert not [r for r in above.records if r.receipt]
        async with daemon(folder) as process:
            assert (await above.final("j1")).state == "done"
            assert await stop(process) == 0
