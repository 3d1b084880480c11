"""An enrolled node that sends whatever it likes to its parent: nobody else is harmed, nothing it says is believed.

`evil` is an endpoint below a gateway, `mole` one below the server itself; neither runs as a daemon.  `pc`, below the
gateway too, is honest.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import msgpack
import pytest

from cluster import asked, random_tree, running, until
from hostile import Intruder, Watch, bombs, connected, intruder, join_only
from region import Region
from tiercast_protocol.content.jobs.receipt import Receipt, sign_receipt
from tiercast_protocol.content.trust.credential import Token
from tiercast_protocol.content.trust.joining import join_password, join_user
from tiercast_protocol.node import joined
from tiercast_protocol.wire import codec
from tiercast_protocol.wire.envelope import seal, wrap
from tiercast_protocol.wire.messages import (
    CATALOGUE,
    Admitted,
    Answer,
    Dismissed,
    EnrolRequest,
    Hello,
    Query,
    Report,
    Status,
    StatusRecord,
    TokenIssued,
    body_of,
)

ATTACKERS = ("evil", "mole")
HUGE = (1 << 64) - 1


@pytest.fixture(scope="module", name="region")
def _region() -> Iterator[Region]:
    with running() as region:
        region.add_server()
        region.add_gateway("gw")
        region.add_endpoint("pc", "gw")
        join_only(region, "evil", "gw")
        join_only(region, "mole")
        yield region


@pytest.fixture(scope="module", name="watch")
def _watch(region: Region, tmp_path_factory: pytest.TempPathFactory) -> Watch:
    return Watch(region, random_tree(tmp_path_factory.mktemp("app"), seed=1, files=3, size=300_000), "pc")


def state_of(region: Region, job: str) -> dict[str, object]:
    """What the server holds of the job's only target."""
    target: dict[str, object] = region.cli("job", "show", job)["job"]["targets"][0]
    return target


async def test_what_is_not_its_own_it_can_neither_write_nor_read(region: Region, watch: Watch) -> None:
    honest = joined.load(region.folder / "pc")
    witness = Intruder("pc", honest.region, "gw")
    port = region.daemons["gw"].port
    top = f"tiercast/1/{honest.region}"
    async with connected(witness, port, honest.password), intruder(region, "evil") as evil:
        for filter_ in (f"{top}/+/to/pc/#", f"{top}/+/group/+"):
            await witness.client.subscribe(filter_, qos=1)
        granted = []
        for filter_ in ("#", "+/#", f"{top}/#", f"{top}/+/up", f"{top}/pc/report", f"{top}/gw/to/pc/control", "$SYS/#"):
            try:
                await evil.client.subscribe(filter_)
                granted.append(filter_)
            except PermissionError:
                continue
        marker = b"forged " + os.urandom(8)
        for topic in (
            *(f"{top}/gw/to/pc/control", f"{top}/gw/to/pc/bulk", f"{top}/gw/group/1", f"{top}/pc/up", f"{top}/pc/will"),
            *(f"{top}/pc/report", f"{top}/gw/up", f"{top}/server/up", "$SYS/broker/uptime", "tiercast/1/other/evil/up"),
        ):
            await evil.client.publish(topic, marker, qos=1)
        watch.unharmed()
        await witness.client.subscribe(f"{top}/+/to/pc/none")  # the broker answers in order: all before it has come
        assert not [topic for topic, payload in witness.heard if payload == marker]
        own = f"{top}/gw/to/evil/control"
        assert {topic for topic, _ in evil.heard if not topic.startswith(f"{top}/gw/group/")} <= {own}, granted


async def test_it_can_not_take_the_place_of_another_connection(region: Region, watch: Watch) -> None:
    mine = joined.load(region.folder / "evil")
    for client_id in ("pc", "pc:bulk", "gw", "gw:bulk", "nobody-yet", "nobody-yet:bulk"):
        thief = Intruder("evil", mine.region, "gw")
        with pytest.raises(ConnectionError):
            async with connected(thief, region.daemons["gw"].port, mine.password, client_id):
                pass
    watch.unharmed()


@pytest.mark.parametrize("name", ATTACKERS)
async def test_garbage_on_every_topic_of_its_own(region: Region, watch: Watch, name: str) -> None:
    rng = random.Random(11)
    good = seal(wrap("status.v1", Status(records=[]), sender=name))
    report = codec.encode(Report(session=1, received=0, window=1 << 20))
    async with intruder(region, name) as evil:
        topics = (evil.topics.up(name), evil.topics.will(name), evil.topics.report(name), evil.topics.up(name) + "/x")
        for topic in topics:
            for payload in (
                *bombs(),
                *(rng.randbytes(size) for size in (0, 1, 2, 17, 300, 70_000, 1_000_000)),
                *(good[:size] for size in range(0, len(good), 3)),
                *(report[:size] for size in range(0, len(report), 3)),
                *(bytes(b ^ (1 << rng.randrange(8)) if rng.random() < 0.05 else b for b in good) for _ in range(50)),
                *(bytes(b ^ (1 << rng.randrange(8)) if rng.random() < 0.05 else b for b in report) for _ in range(50)),
            ):
                await evil.client.publish(topic, payload)
        await evil.dealt_with()
        await evil.reports_dealt_with()
    async with intruder(region, name) as evil:
        # the broker ends the connection of who sends more than it takes; nothing more comes of it
        with suppress(ConnectionError):
            await evil.client.publish(evil.topics.up(name), bytes(3 << 20))
        await evil.until(evil.lost.is_set, "the broker ends it")
    if name == ATTACKERS[-1]:
        watch.unharmed()


def wrong_values(rng: random.Random) -> list[object]:
    """Bodies that are of no kind, and fields that are not what they are called."""
    return [
        *(None, 0, -1, HUGE, "", "x" * 70_000, b"", bytes(70_000), [], {}, [[]], 1.5, True),
        *({name: value} for name in ("ids", "records", "targets", "boot", "digests", "name") for value in (0, [0], {})),
        {"ids": [rng.randbytes(16) for _ in range(20_000)]},
        {"ids": [b"", b"x" * 500_000]},
        {"boot": rng.randbytes(8), "role": "gateway" * 1000, "software": "x" * 100_000, "free": HUGE},
        {"records": [{}] * 1000},
        {"group": HUGE, "epoch": b""},
        {"query": rng.randbytes(16), "result": {"a": [1] * 60_000}},
        {"token_id": "../x\n", "name": "a:b\nc:$7$", "role": "server", "public_key": b"", "password_hash": "\n"},
    ]


@pytest.mark.parametrize("name", ATTACKERS)
async def test_envelopes_of_every_kind_with_wrong_bodies(region: Region, watch: Watch, name: str) -> None:
    rng = random.Random(12)
    async with intruder(region, name) as evil:
        for kind in (*CATALOGUE, "order.v2", "x" * 64, "ünknown"):
            for value in wrong_values(rng):
                for to in ("", "pc", "server"):
                    await evil.client.publish(evil.topics.up(name), seal(wrap(kind, value, sender=name, to=to)))
            await evil.dealt_with()
        for kind in ("gone.v1", "hello.v1", "order.v1"):
            for value in wrong_values(rng):
                await evil.client.publish(evil.topics.will(name), seal(wrap(kind, value, sender=name)))
        await evil.dealt_with()
    if name == ATTACKERS[-1]:
        watch.unharmed()


def edges(name: str) -> list[list[object]]:
    """Envelopes at and beyond the edges of what an envelope may be."""
    body = codec.encode(Status(records=[]))

    def one(**other: object) -> list[object]:
        whole: dict[str, object] = {
            "v": 1, "kind": "status.v1", "id": os.urandom(16), "cause": "", "sender": name, "to": "", "expires": 0,
            "hops": 0, "body": body,
        }  # fmt: skip
        return [*(whole | other).values()]

    return [
        *(one(v=v) for v in (-1, 0, 2, 3, 255, 256, HUGE)),
        *(one(kind=kind) for kind in ("", "x" * 65, "\0", "status.v1\n")),
        *(one(id=id_) for id_ in (b"", b"x", bytes(16), bytes(17), "text of 16 chars")),
        *(one(sender=sender) for sender in ("", "server", "pc", "x" * 500_000, "\0")),
        *(one(to=to) for to in ("x" * 256, "x" * 900_000, "../pc", "#", "+", "pc/../server", "\0", "nobody", "gw")),
        *(one(expires=expires) for expires in (-1, -(1 << 63), 1, (1 << 63) - 1, 1 << 63, HUGE)),
        *(one(expires=expires, to="pc") for expires in (-(1 << 63), (1 << 63) - 1, 1 << 63, HUGE)),
        *(one(hops=hops, to="nobody") for hops in (-1, 31, 32, 33, HUGE)),
        *(one(cause=cause) for cause in ("x" * 255, "x" * 256, "x" * 900_000)),
        [*one(), "a field of a later version"],
        one()[:-1],
    ]


@pytest.mark.parametrize("name", ATTACKERS)
async def test_envelopes_beyond_every_edge(region: Region, watch: Watch, name: str) -> None:
    async with intruder(region, name) as evil:
        for array in edges(name):
            await evil.client.publish(evil.topics.up(name), msgpack.packb(array))
        replayed = seal(wrap("status.v1", Status(records=[]), sender=name))
        for _ in range(500):
            await evil.client.publish(evil.topics.up(name), replayed)
        await evil.dealt_with()
    if name == ATTACKERS[-1]:
        watch.unharmed()


async def test_it_can_not_command_its_neighbours(region: Region, watch: Watch) -> None:
    """What only comes down is not taken from below, whoever it is said to be from and for."""
    async with intruder(region, "evil") as evil, intruder(region, "mole") as mole:
        hash_ = "$7$101$" + "A" * 16 + "$" + "A" * 88
        for one in (evil, mole):
            for to in ("", "gw", "pc", "server", "evil", "mole"):
                for sender in (one.name, "server", "gw"):
                    await one.say(Dismissed(name="pc"), to=to, sender=sender)
                    await one.say(
                        Admitted(name="ghost", role="endpoint", parent="gw", public_key=bytes(32), password_hash=hash_,
                                 generation=1), to=to, sender=sender,
                    )  # fmt: skip
                    await one.say(
                        TokenIssued(token_id="ghost", password_hash=hash_, parent="gw", expires=1 << 45),
                        to=to, sender=sender,
                    )  # fmt: skip
                    await one.say(Query(verb="status"), to=to, sender=sender)
            await one.dealt_with()
        # its own list of parents comes again while it does not acknowledge it
        assert {e.kind for e in evil.envelopes()} <= {"ack.v1", "hello.v1", "parents.v1", "answer.v1"}
        answers = [body_of(e, Answer) for e in evil.envelopes() if e.kind == "answer.v1"]
        assert all(answer.error and answer.result is None for answer in answers), "what is below may not ask that"
    names = {node["name"] for node in region.cli("node", "list")["nodes"]}
    assert names - {"server"} == {"gw", "pc", "evil", "mole"}
    users = (region.folder / "gw" / "broker" / "users").read_text()
    assert "ghost" not in users
    watch.unharmed()


@pytest.mark.parametrize("name", ATTACKERS)
async def test_reports_that_ask_for_everything_and_lie(region: Region, watch: Watch, name: str) -> None:
    rng = random.Random(13)
    root = bytes.fromhex(region.cli("package", "show", "still")["package"]["root"])
    async with intruder(region, name) as evil:
        await evil.say(Hello(boot=b"evil"))
        for n in range(8):  # each asks for 30,000 chunks that nobody holds
            await evil.report(Report(session=n % 3, received=0, window=HUGE, wants=rng.randbytes(32 * 30_000)))
        for window in (0, 1, 1 << 62, 1 << 63, HUGE):
            for received in (0, 1, (1 << 62) - 1, 1 << 62, HUGE):
                for session in (0, 1, HUGE):
                    await evil.report(
                        Report(session=session, received=received, window=window, mark=session >> 1, wants=root)
                    )
        for repairs in (
            [(root, offset, length) for offset in (0, 1, 1 << 19, (1 << 20) - 1, 1 << 40) for length in (1, 1 << 20)],
            [(root, offset, 1) for offset in range(0, 36_000, 2)],
            [(os.urandom(32), 0, 1) for _ in range(20_000)],
            [(b"short", 0, 1), (b"", -1, -1), (root, -5, 10), (root, 5, -10), (root, HUGE, HUGE)],
        ):
            for received in (0, 1 << 40):
                await evil.report(Report(session=9, received=received, window=1 << 30, repairs=repairs, wants=root))
        for _ in range(3):
            await evil.report(Report(session=9, received=0, window=1 << 30, drops=rng.randbytes(32 * 30_000)))
        await evil.reports_dealt_with()
    watch.unharmed()


@pytest.mark.parametrize("name", ATTACKERS)
async def test_statuses_that_are_forged(region: Region, watch: Watch, name: str) -> None:
    job = region.cli("job", "install", "still", "--on", name)["job"]
    others = region.cli("job", "list")["jobs"][-1]["job"]
    me = joined.load(region.folder / name)
    receipt = Receipt(
        job=job, revision=1, attempt=1, seq=50, node=name, generation=me.generation, state="done", code="", detail="",
        started=1, finished=2, package="still", version="1", root=bytes(32), programs=[],
    )  # fmt: skip
    signed, signature = sign_receipt(receipt, me.key)
    strangers = joined.load(region.folder / "pc").key

    def record(**other: object) -> StatusRecord:
        said: dict[str, object] = {
            "job": job, "revision": 1, "target": name, "attempt": 1, "seq": 50, "state": "done", "at": 1,
        }  # fmt: skip
        return StatusRecord(**{**said, **other})  # type: ignore[arg-type]

    unproved = [
        record(seq=1),
        record(seq=2, receipt=signed, signature=bytes(64)),
        record(seq=3, receipt=b"", signature=signature),
        record(seq=4, receipt=signed[:-1], signature=signature),
        record(seq=5, receipt=signed, signature=strangers.sign("tiercast receipt 1", signed)),
        record(seq=6, receipt=signed, signature=signature, state="failed"),
        record(seq=7, receipt=signed, signature=signature),
        *(record(state=state, seq=8) for state in ("", "nonsense", "x" * 100_000, "held", "relaying")),
        *(record(job=other) for other in ("", "nonsense", "../x", "\0", "x" * 100_000)),
        *(record(target=other) for other in ("pc", "gw", "server", "", "nobody", "x" * 100_000)),
        *(record(job=others, target=other) for other in ("pc", "gw", "server", name)),
        record(job=others, target="pc", state="failed", revision=9, attempt=9, seq=1 << 40),
    ]
    edges = [-1, -(1 << 63), 1 << 53, (1 << 63) - 1, 1 << 63, HUGE]
    async with intruder(region, name) as evil:
        for one in unproved:
            await evil.say(Status(records=[one]))
        for field in ("revision", "attempt", "seq", "at", "done", "total"):
            for number in edges:
                await evil.say(Status(records=[record(state="fetching", **{field: number})]))
        await evil.say(Status(records=[record(job=f"made-up-{n}", state="fetching") for n in range(2000)]))
        await evil.dealt_with()
        watch.unharmed()
        assert state_of(region, job)["state"] not in {"done", "failed"}
        assert region.cli("job", "show", others)["job"]["counts"] == {"done": 1}
        # what it does sign itself is its own say
        await evil.say(Status(records=[record(receipt=signed, signature=signature)]))
        await evil.dealt_with()
        until(lambda: state_of(region, job)["state"] == "done", "its own word is taken")
        # and can't be taken back
        await evil.say(Status(records=[record(state="fetching", seq=51)]))
        await evil.say(Status(records=[record(state="ordered", seq=1, attempt=0)]))
        await evil.dealt_with()
    watch.unharmed()
    assert state_of(region, job)["state"] == "done"


@pytest.mark.parametrize("name", ATTACKERS)
async def test_answers_that_nobody_asked_for_are_not_kept(region: Region, watch: Watch, name: str) -> None:
    result = [[[] for _ in range(60_000)] for _ in range(15)]  # 0.9 MB that become 60
    async with intruder(region, name) as evil:
        for _ in range(3):
            await evil.say(Answer(query=os.urandom(16), result=result), to="server")
        await evil.dealt_with()
    if name == ATTACKERS[-1]:
        watch.unharmed()
    watch.not_grown()


async def test_enrolment_from_those_who_may_not(region: Region, watch: Watch) -> None:
    token = Token.from_text(str(region.cli("node", "invite", "new", "--parent", "gw")["token"]))
    me = joined.load(region.folder / "evil")
    asks = [
        EnrolRequest(token_id=id_, name=name, role=role, public_key=key, password_hash=hash_, proof=proof,
                     signature=bytes(64))
        for id_ in (token.token_id, "", "x" * 50_000, "../x", "a\nb:c")
        for name, role in (("new", "endpoint"), ("pc", "endpoint"), ("server", "server"), ("x" * 50_000, "gateway"))
        for key in (me.key.public, b"", bytes(32))
        for hash_, proof in (("$7$1$a$b\nroot:$7$1$a$b", b""), ("plain", bytes(32)))
    ]  # fmt: skip
    async with intruder(region, "evil") as evil:
        for ask in asks:
            await evil.client.publish(evil.topics.up("evil"), seal(wrap("enrol.request.v1", ask, sender="evil")))
        await evil.dealt_with()
    joining = Intruder(join_user(token.token_id), me.region, "gw")
    async with connected(joining, region.daemons["gw"].port, join_password(token.secret), joining.name):
        top = f"tiercast/1/{me.region}"
        await joining.client.subscribe(joining.topics.down("gw", joining.name), qos=1)
        for filter_ in (f"{top}/#", f"{top}/pc/up", f"{top}/gw/to/pc/#"):
            with suppress(PermissionError):  # granted or not, what is not for it does not come
                await joining.client.subscribe(filter_)
        for topic in (f"{top}/pc/up", f"{top}/gw/to/pc/control", f"{top}/gw/up", f"{top}/new/up"):
            await joining.client.publish(topic, seal(wrap("hello.v1", Hello(boot=b"x"), sender="new")), qos=1)
        jobs = [job["job"] for job in region.cli("job", "list")["jobs"]]
        for target in (joining.name, "pc", "new"):
            records = [StatusRecord(job=jobs[0], revision=1, target=target, attempt=9, seq=9, state="failed", at=1)]
            await joining.say(Status(records=records))
            await joining.say(Answer(query=bytes(16), result=1), to="server")
        for name in ("pc", "evil", "server", "other"):
            await joining.say(
                EnrolRequest(token_id=token.token_id, name=name, role="endpoint", public_key=me.key.public,
                             password_hash="$7$1$a$b", proof=bytes(32), signature=bytes(64))
            )  # fmt: skip
        await joining.report(Report(session=1, received=0, window=1 << 30, wants=os.urandom(32 * 1000)))
        await joining.dealt_with("enrol.request.v1")
        own = {f"{top}/gw/to/{joining.name}/control"}
        assert {topic for topic, _ in joining.heard if "/group/" not in topic} <= own
    watch.unharmed()
    states = {node["name"]: node["joined"] for node in region.cli("node", "list")["nodes"]}
    assert not states["new"]
    assert "root" not in (region.folder / "gw" / "broker" / "users").read_text()


def test_nobody_has_grown_by_all_this(watch: Watch, region: Region) -> None:
    watch.not_grown()
    for name in ("server", "gw", "pc"):
        said = region.daemons[name].log.read_text(errors="replace")
        assert "Traceback" not in said, f"{name}: {said[said.index('Traceback') - 500 :][:3000]}"


def test_the_books_of_the_honest_are_even_whatever_the_others_said(watch: Watch, region: Region) -> None:
    watch.unharmed()

    def even() -> bool:
        links = asked(region, "ledger.check", below=True, patience_ms=3000)["links"]
        honest = [link for link in links if link["child"] in {"gw", "pc"}]
        return len(honest) == 2 and all(link["heard"] and link["even"] for link in honest)

    until(even, "the honest links are even")


def test_the_right_node_still_joins(region: Region, tmp_path: Path) -> None:
    token = str(region.cli("node", "invite", "late", "--parent", "gw")["token"])
    region.tool(
        "tiercast_endpoint", "join", token, "--state", str(tmp_path / "s"), "--install-root", str(tmp_path / "x")
    )
