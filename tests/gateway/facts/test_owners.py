"""What owners chose, out of a gateway's own records: with the centre away, and counted once."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from tiercast_gateway.facts.owners import Owners
from tiercast_gateway.tables import SCHEMA
from tiercast_protocol.content.jobs.chosen import Chosen, packed
from tiercast_protocol.errors import UsageError
from tiercast_protocol.node.control.verbs import Call
from tiercast_protocol.node.database import Database
from tiercast_protocol.node.kernel import Peer
from tiercast_protocol.wire import codec
from tiercast_protocol.wire.messages import StatusRecord


def call(**args: Any) -> Call:
    return Call("owner.said", args, Peer(1, 0, 0), "viewer", "root", "c")


def put(connection: sqlite3.Connection, target: str, state: str, chosen: Chosen | None) -> None:
    record = StatusRecord(
        job="j1",
        revision=1,
        target=target,
        attempt=1,
        seq=1,
        state=state,
        at=5,
        owner=packed(chosen) if chosen is not None else "",
    )
    connection.execute(
        "INSERT INTO statuses(job, target, revision, attempt, seq, final, told, record)"
        " VALUES ('j1', ?, 1, 1, 1, ?, 0, ?)",
        (target, int(state == "done"), codec.encode(record)),
    )


async def test_counts_by_site_are_of_the_records_here(tmp_path: Path) -> None:
    async with Database.open(tmp_path / "gw.db", SCHEMA) as db:
        await db.write(lambda c: put(c, "pc1", "staged", Chosen(times=2, until=1 << 50, by="alice")))
        await db.write(lambda c: put(c, "pc2", "staged", None))
        await db.write(lambda c: put(c, "pc3", "done", Chosen(times=1, by="bob")))
        await db.write(lambda c: put(c, "far", "staged", Chosen(held=4, by="carl")))
        owners = Owners(db, "berlin", {"pc1": "pc1", "pc3": "pc3", "far": "harbour"}.get)
        found = await owners.said(call())
        assert {one["name"]: (one["deferred"], one["held"]) for one in found["by"]} == {
            "berlin": (1, 0),
            "harbour": (0, 1),
        }
        assert (await owners.said(call(ended=True, job="j1")))["counts"]["times"] == 3
        assert (await owners.said(call(job="j2")))["counts"]["targets"] == 0
        with pytest.raises(UsageError, match="by is 'group'"):
            await owners.said(call(by="group"))
