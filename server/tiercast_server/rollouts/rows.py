"""Rollouts as rows: reading and writing them, and counting what came of their waves.

Rules
- A rollout's row holds what its machine keeps; everything else is counted out of its jobs' targets.
- Who is in which wave is written once, when it starts.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import RowMapping, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from tiercast_protocol.content.jobs.breaker import BAD
from tiercast_protocol.content.jobs.receipt import STATES
from tiercast_protocol.errors import UsageError
from tiercast_protocol.wire import codec
from tiercast_server.database.rollout_tables import rollout_jobs, rollout_members, rollouts
from tiercast_server.database.tables import targets
from tiercast_server.rollouts.life import FINAL, OPEN, Counts, RolloutLife, Rules, State

_ID = re.compile(r"r\d{1,18}(-[0-9a-f]{4})?\Z")


@dataclass(frozen=True, slots=True)
class Rollout:
    """One row; times in milliseconds since 1970; `texts` are its waves as they were asked for."""

    id: str
    number: int
    undoes: str
    state: State
    said: str
    rules: Rules
    texts: tuple[str, ...]
    begun: int
    reached: int
    word: bool
    package: str
    version: str
    package_revision: int
    target: str
    options: dict[str, str | int | bool]
    note: str
    created_by: str
    created: int
    expires: int
    ended: int | None
    again: int = 0

    def life(self) -> RolloutLife:
        """Its machine, as it stands."""
        return RolloutLife(self.rules, len(self.texts), self.expires, self.state, self.begun, self.reached, self.word)


@dataclass(frozen=True, slots=True)
class Member:
    """One target: its wave, and the version with its revision that it gets; "" is none: the package is removed."""

    node: str
    wave: int
    version: str
    revision: int


def looks_like(text: str) -> bool:
    """Whether this is the id of a rollout: r3-1a2b, or r3."""
    return bool(_ID.match(text))


def _rollout(row: RowMapping) -> Rollout:
    return Rollout(
        id=row["id"],
        number=row["number"],
        undoes=row["undoes"],
        state=row["state"],
        said=row["said"],
        rules=msgspec.convert(codec.decode_plain(row["rules"]), Rules),
        texts=tuple(codec.decode_plain(row["waves"])["texts"]),
        begun=row["begun"],
        reached=row["reached"],
        word=row["word"],
        package=row["package"],
        version=row["version"],
        package_revision=row["package_revision"],
        target=row["target"],
        options=codec.decode_plain(row["options"]),
        note=row["note"],
        created_by=row["created_by"],
        created=row["created"],
        expires=row["expires"],
        ended=row["ended"],
        again=row["again"],
    )


async def get(connection: AsyncConnection, text: str) -> Rollout:
    """The rollout with this id; its number alone will do.

    Raises:
        UsageError: rollout.unknown.
    """
    digits = text.removeprefix("r")
    which = rollouts.c.id == text
    if digits.isdecimal() and len(digits) <= 18:  # noqa: PLR2004 - what a database counts with
        which |= rollouts.c.number == int(digits)
    row = (await connection.execute(select(rollouts).where(which))).mappings().first()
    if row is None:
        raise UsageError(
            code="rollout.unknown",
            what=f"There is no rollout {text[:60]!r}.",
            todo="`tiercast rollout list` shows all rollouts.",
        )
    return _rollout(row)


async def newest(connection: AsyncConnection, limit: int) -> list[Rollout]:
    """The newest rollouts, newest first."""
    query = select(rollouts).order_by(rollouts.c.number.desc()).limit(limit)
    return [_rollout(row) for row in (await connection.execute(query)).mappings()]


async def still_open(connection: AsyncConnection) -> list[Rollout]:
    """Every rollout that has not ended, oldest first."""
    query = select(rollouts).where(rollouts.c.state.not_in(FINAL)).order_by(rollouts.c.number)
    return [_rollout(row) for row in (await connection.execute(query)).mappings()]


async def next_number(connection: AsyncConnection) -> int:
    """The number of the next rollout."""
    return ((await connection.execute(select(func.max(rollouts.c.number)))).scalar_one() or 0) + 1


async def put(connection: AsyncConnection, one: Rollout, members: list[Member]) -> None:
    """Write a new rollout and who is in it."""
    fields: dict[str, Any] = {name: getattr(one, name) for name in one.__dataclass_fields__}
    fields["rules"] = codec.encode(msgspec.to_builtins(one.rules))
    fields["waves"] = codec.encode({"texts": list(fields.pop("texts"))})
    fields["options"] = codec.encode(one.options)
    await connection.execute(insert(rollouts).values(**fields))
    rows = [
        {"rollout": one.id, "node": m.node, "wave": m.wave, "version": m.version, "revision": m.revision}
        for m in members
    ]
    await connection.execute(insert(rollout_members), rows)


async def keep(connection: AsyncConnection, id_: str, life: RolloutLife, **more: object) -> None:
    """Write what the machine keeps."""
    values = {"state": life.state, "begun": life.begun, "reached": life.reached, "word": life.word, **more}
    await connection.execute(update(rollouts).where(rollouts.c.id == id_).values(**values))


async def members(connection: AsyncConnection, id_: str) -> list[Member]:
    """Everybody in it, by wave and name."""
    c = rollout_members.c
    query = select(c.node, c.wave, c.version, c.revision).where(c.rollout == id_).order_by(c.wave, c.node)
    return [Member(row.node, row.wave, row.version, row.revision) for row in await connection.execute(query)]


async def jobs_of(connection: AsyncConnection, id_: str) -> dict[str, int]:
    """Its jobs, each with its wave, in the order in which they were made."""
    c = rollout_jobs.c
    query = select(c.job, c.wave).where(c.rollout == id_).order_by(c.number)
    return {row.job: row.wave for row in await connection.execute(query)}


async def states(connection: AsyncConnection, id_: str) -> dict[int, dict[str, int]]:
    """By wave how many targets of its jobs are in which state."""
    query = (
        select(rollout_jobs.c.wave, targets.c.state, func.count().label("n"))
        .join(targets, targets.c.job == rollout_jobs.c.job)
        .where(rollout_jobs.c.rollout == id_)
        .group_by(rollout_jobs.c.wave, targets.c.state)
    )
    found: dict[int, dict[str, int]] = {}
    for row in await connection.execute(query):
        found.setdefault(row.wave, {})[row.state] = row.n
    return found


def counted(by_wave: dict[int, dict[str, int]], begun: int) -> tuple[Counts, ...]:
    """The counts of the waves that have begun."""
    return tuple(
        Counts(
            total=sum(held.values()),
            done=held.get("done", 0),
            bad=sum(held.get(state, 0) for state in BAD),
            open=sum(n for state, n in held.items() if not STATES.get(state, False)),
        )
        for held in (by_wave.get(wave, {}) for wave in range(begun))
    )


async def check_unused(connection: AsyncConnection, job: str) -> None:
    """Refuse to forget a job of which a rollout still counts the targets.

    Raises:
        UsageError: job.rollout.
    """
    query = (
        select(rollouts.c.id)
        .join(rollout_jobs, rollout_jobs.c.rollout == rollouts.c.id)
        .where(rollout_jobs.c.job == job, rollouts.c.state.not_in(FINAL))
    )
    if user := (await connection.execute(query)).scalar():
        raise UsageError(
            code="job.rollout",
            what=f"The rollout {user} still counts what came of {job}.",
            todo=f"`tiercast rollout cancel {user}` first, or wait until it has ended.",
        )


async def check_apart(connection: AsyncConnection, package: str, nodes: Collection[str]) -> None:
    """Refuse a rollout of what another one that has not ended gives to one of the same nodes.

    Raises:
        UsageError: rollout.conflict, naming the first such rollout.
    """
    query = (
        select(rollouts.c.id, rollouts.c.created_by, rollout_members.c.node)
        .join(rollout_members, rollout_members.c.rollout == rollouts.c.id)
        .where(rollouts.c.state.not_in(FINAL), rollouts.c.package == package)
        .order_by(rollouts.c.number, rollout_members.c.node)
    )
    names = set(nodes)
    both = [row for row in await connection.execute(query) if row.node in names]
    if both:
        first = both[0]
        more = f" and {len(both) - 1} more of these targets" if len(both) > 1 else ""
        raise UsageError(
            code="rollout.conflict",
            what=f"The rollout {first.id} of {first.created_by} is about {package} on {first.node}{more}.",
            todo=f"Wait for it, or `tiercast rollout cancel {first.id}` and order again. Nothing was done.",
        )


async def users_of(connection: AsyncConnection, package: str, version: str, revision: int) -> list[str]:
    """The rollouts that have not ended and give somebody this version of a package."""
    c = rollout_members.c
    query = (
        select(rollouts.c.id)
        .join(rollout_members, c.rollout == rollouts.c.id)
        .where(
            rollouts.c.state.not_in(FINAL), rollouts.c.package == package, c.version == version, c.revision == revision
        )
        .distinct()
    )
    return sorted((await connection.execute(query)).scalars())


def check_open(one: Rollout, verb: str) -> None:
    """Refuse `verb` where no further wave can begin.

    Raises:
        UsageError: rollout.ended.
    """
    if one.state not in OPEN:
        raise UsageError(
            code="rollout.ended",
            what=f"The rollout {one.id} is {one.state}: `rollout {verb}` is for one in which a wave may still begin.",
            todo=f"`tiercast rollout show {one.id}` shows what came of it.",
        )


async def results(connection: AsyncConnection, id_: str) -> dict[tuple[str, str], int]:
    """How many targets of its jobs are in which state with which code."""
    c = targets.c
    query = (
        select(c.state, c.code, func.count().label("n"))
        .join(rollout_jobs, rollout_jobs.c.job == c.job)
        .where(rollout_jobs.c.rollout == id_)
        .group_by(c.state, c.code)
    )
    return {(row.state, row.code): row.n for row in await connection.execute(query)}
