"""Power cuts under outbox and inbox: no promised message is lost, no acknowledged one is without its effect."""

import asyncio
from pathlib import Path
from typing import Any

from tests.crash.campaign import breaks, campaign
from tests.crash.recording import RecordingDisk, RecordingFiles, connect_to

from tiercast_protocol.node import inbox, outbox
from tiercast_protocol.node.database import Database
from tiercast_protocol.node.files import make_folder
from tiercast_protocol.node.post import SCHEMA, Post
from tiercast_protocol.wire.envelope import Envelope, open_
from tiercast_protocol.wire.messages import Ack, Dismissed, body_of

FOLDER = Path("/state")
STEPS = [(1, SCHEMA), (2, "CREATE TABLE effects (id BLOB PRIMARY KEY)")]


async def story(disk: RecordingDisk) -> None:
    """`a` tells `b` twelve things; both write to one disk."""
    make_folder(RecordingFiles(disk), FOLDER)
    connect = connect_to(disk)
    posts: dict[str, Post] = {}

    async def from_a(peer: str, payload: bytes) -> None:
        await posts["b"].received("a", payload)

    async def from_b(peer: str, payload: bytes) -> None:
        for id_ in body_of(open_(payload), Ack).ids:
            disk.fact("acknowledged", id_)
        await posts["a"].received("b", payload)

    async with (
        Database.open(FOLDER / "a.db", STEPS, connect=connect, readers=0) as a_db,
        Database.open(FOLDER / "b.db", STEPS, connect=connect, readers=0) as b_db,
    ):
        posts["a"] = Post(a_db, me="a", transmit=from_a)
        posts["b"] = Post(b_db, me="b", transmit=from_b)

        async def handler(peer: str, envelope: Envelope) -> None:
            await b_db.write(lambda c: c.execute("INSERT OR IGNORE INTO effects VALUES (?)", (envelope.id,)))

        posts["b"].on("node.dismissed.v1", handler)
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(post.run()) for post in posts.values()]
            for n in range(12):
                disk.fact("promised", await posts["a"].send("b", Dismissed(name=f"n{n}")))
                if n == 4:
                    posts["a"].peer_up("b")
            async with asyncio.timeout(60):
                while await posts["a"].pending():  # noqa: ASYNC110 - polled with a deadline
                    await asyncio.sleep(0.002)
            for task in running:
                task.cancel()


async def check(folder: Path, facts: list[Any]) -> None:
    place = folder / str(FOLDER)[1:]
    place.mkdir(exist_ok=True)
    async with (
        Database.open(place / "a.db", STEPS) as a_db,
        Database.open(place / "b.db", STEPS) as b_db,
    ):
        for kind, id_ in facts:
            waits = await a_db.read(lambda c: [m.id for m in outbox.pending(c, limit=100)])
            seen = await b_db.read(lambda c, i=id_: inbox.seen(c, "a", i))
            effect = await b_db.read(
                lambda c, i=id_: c.execute("SELECT 1 FROM effects WHERE id = ?", (i,)).fetchone() is not None
            )
            if kind == "acknowledged":
                assert seen, "acknowledged and not marked"
            assert effect or not seen, "marked and without its effect"
            assert effect or id_ in waits, "promised and lost"
        for db in (a_db, b_db):
            assert await db.read(lambda c: c.execute("PRAGMA integrity_check").fetchone()) == ("ok",)


async def test_nothing_is_lost_after_any_power_cut(tmp_path: Path) -> None:
    disk = RecordingDisk()
    await story(disk)
    assert await campaign(disk, tmp_path, check, seeds=1, step=3) > 100


async def test_every_sync_is_needed(tmp_path: Path) -> None:
    disk = RecordingDisk()
    await story(disk)
    assert len(disk.sites) == 3, disk.sites
    for site in sorted(disk.sites):
        disk = RecordingDisk(ignored=[site])
        await story(disk)
        assert await breaks(disk, tmp_path, check), f"nothing fails without the sync at {site}"
