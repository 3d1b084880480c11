"""Rollouts as rows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tiercast_protocol.errors import UsageError
from tiercast_server.rollouts import rows as rollout_rows
from tiercast_server.rollouts.life import Counts, Rules
from tiercast_server.rollouts.rows import Member, Rollout, counted, looks_like

ONE = Rollout(
    id="r1-ab12",
    number=1,
    undoes="",
    state="running",
    said="",
    rules=Rules(95_000, 7, True, 5_000, 3),
    texts=("1", "rest"),
    begun=0,
    reached=0,
    word=False,
    package="app",
    version="1",
    package_revision=2,
    target="node a, b",
    options={"priority": 9},
    note="n",
    created_by="ann",
    created=1,
    expires=9,
    ended=None,
)


async def test_what_is_put_is_found(world: Any) -> None:
    members = [Member("a", 0, "1", 2), Member("b", 1, "", 0)]
    async with world.region.db.write() as connection:
        assert await rollout_rows.next_number(connection) == 1
        await rollout_rows.put(connection, ONE, members)
        for text in ("r1-ab12", "r1", "1"):
            assert await rollout_rows.get(connection, text) == ONE
        assert await rollout_rows.members(connection, ONE.id) == members
        assert await rollout_rows.still_open(connection) == [ONE]
        assert await rollout_rows.next_number(connection) == 2
        life = replace(ONE, state="done", begun=2, reached=5, word=True).life()
        await rollout_rows.keep(connection, ONE.id, life, said="s", ended=7)
        found = await rollout_rows.get(connection, ONE.id)
        assert (found.state, found.begun, found.reached, found.word, found.said, found.ended) == (
            *("done", 2, 5, True),
            *("s", 7),
        )
        assert await rollout_rows.still_open(connection) == []
        assert await rollout_rows.newest(connection, 1) == [found]
        for text in ("r2", "x", "9" * 30):
            with pytest.raises(UsageError):
                await rollout_rows.get(connection, text)


def test_counts_are_those_of_the_waves_that_began() -> None:
    states = {0: {"done": 2, "failed": 1, "ordered": 3, "expired": 1}, 2: {"done": 1}}
    assert counted(states, 2) == (Counts(7, 2, 1, 3), Counts(0))


def test_ids_look_like_none_of_a_job() -> None:
    assert looks_like("r3-ab12")
    assert looks_like("r3")
    assert not any(looks_like(text) for text in ("j3-ab12", "3", "r", "rx", "r3-ab", ""))


def test_nothing_is_said_of_one_that_has_ended() -> None:
    rollout_rows.check_open(ONE, "pause")
    with pytest.raises(UsageError, match="in which a wave may still begin"):
        rollout_rows.check_open(replace(ONE, state="stopping"), "pause")
