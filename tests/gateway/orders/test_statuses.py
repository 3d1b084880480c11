"""Records merge by their rank and go up once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.support.hop import FakeAbove, until

from tiercast_gateway.children.routes import Routes
from tiercast_gateway.orders.statuses import Statuses
from tiercast_protocol.node.database import Database
from tiercast_protocol.wire.messages import Status, StatusRecord


def record(
    seq: int, state: str = "fetching", *, revision: int = 1, attempt: int = 1, target: str = "pc"
) -> StatusRecord:
    return StatusRecord(job="j", revision=revision, target=target, attempt=attempt, seq=seq, state=state, at=seq)


def said(above: FakeAbove) -> list[StatusRecord]:
    return [r for message, _ in above.said if isinstance(message, Status) for r in message.records]


@asynccontextmanager
async def running(db: Database, above: FakeAbove, finals: list[set[str]] | None = None) -> AsyncIterator[Statuses]:
    routes = Routes(db)
    await routes.learn("pc", "site")
    await routes.learn("site", "site")
    statuses = Statuses(db, above, routes, (finals if finals is not None else []).append)
    await statuses.load()
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(statuses.run())
        try:
            yield statuses
        finally:
            task.cancel()


async def test_the_highest_of_revision_attempt_and_seq_wins(db: Database) -> None:
    async with running(db, FakeAbove()) as statuses:
        for new, winner in (
            (record(5), record(5)),
            (record(4, "done"), record(5)),
            (record(5, "done"), record(5)),
            (record(1, attempt=2), record(1, attempt=2)),
            (record(9), record(1, attempt=2)),
            (record(0, "done", revision=2), record(0, "done", revision=2)),
        ):
            await statuses.take("site", Status(records=[new]))
            assert await statuses.records("j") == [winner]


async def test_final_states_go_up_at_once_and_only_what_changed(db: Database) -> None:
    above, finals = FakeAbove(), []
    async with running(db, above, finals) as statuses:
        done = record(7, "done")
        await statuses.take("site", Status(records=[done]))
        await until(lambda: said(above) == [done], 0.9)
        assert finals == [{"j"}]
        await statuses.take("site", Status(records=[done, record(3)]))
        await statuses.own(record(1, "held", target="me"))
        await until(lambda: len(said(above)) > 1)
        assert said(above) == [done, record(1, "held", target="me")]


async def test_a_child_speaks_only_for_what_is_below_it(db: Database) -> None:
    async with running(db, FakeAbove()) as statuses:
        await statuses.take("other", Status(records=[record(1), record(1, target="other")]))
        assert await statuses.records("j") == [record(1, target="other")]


async def test_progress_waits_for_the_parent_and_final_states_do_not(db: Database) -> None:
    above = FakeAbove(connected=False)
    async with running(db, above) as statuses:
        await statuses.take("site", Status(records=[record(1)]))
        await statuses.take("site", Status(records=[record(1, "done", target="site")]))
        await until(lambda: bool(above.said))
        assert said(above) == [record(1, "done", target="site")]
        above.connected = True
        await until(lambda: len(said(above)) == 2)
        assert said(above)[1] == record(1)


async def test_what_was_not_told_before_a_kill_is_told_after_it(db: Database) -> None:
    routes = Routes(db)
    await routes.learn("pc", "pc")
    killed = Statuses(db, FakeAbove(), routes, lambda _jobs: None)
    await killed.take("pc", Status(records=[record(3, "done")]))
    above = FakeAbove()
    async with running(db, above) as statuses:
        await until(lambda: said(above) == [record(3, "done")])
        await until(lambda: not statuses._dirty)
        await statuses.forget(["j"])
    above = FakeAbove()
    async with running(db, above) as statuses:
        await statuses.own(record(1, "done", target="me"))
        await until(lambda: bool(above.said))
        assert [r.target for r in said(above)] == ["me"]
