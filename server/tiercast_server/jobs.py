"""What administrators do with jobs: create, cancel, delete; and what the clock and newcomers do to them.

Rules
- Everything is checked, and every mistake named, before anything is written.
- No targets is an error, never "all".
- Opposite orders for one package and target are refused while the first is open: the second
  administrator is told of the first.
- State first, then the tree: `handover` tells what stands in the database, also after a kill.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from tiercast_protocol.errors import UsageError
from tiercast_server import job_rows
from tiercast_server.changes import Changes
from tiercast_server.database.tables import hops, jobs, orders, targets
from tiercast_server.database.tables import region as region_table
from tiercast_server.job_life import CancelAsked, Counted, TargetJoined, TimePassed
from tiercast_server.job_rows import OPEN_STATES, Job
from tiercast_server.nodes import Node, resolve
from tiercast_server.orders import OPPOSITE, ROLE_OF
from tiercast_server.packages import find_sealed, split_reference
from tiercast_server.region import Region

DEFAULT_EXPIRY_S = 7 * 86_400
MAX_EXPIRY_S = 366 * 86_400
_MAX_OPTIONS = 64
_MAX_NOTE = 1_000
#: The clock is looked at at least this often, because it may be set back and forth.
_LOOK_S = 60.0


@dataclass(frozen=True, slots=True)
class Request:
    """What an administrator asked for; `expires_s` in seconds from now."""

    type: str
    package: str
    by: str
    targets: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    note: str = ""
    expires_s: int = DEFAULT_EXPIRY_S
    options: dict[str, Any] = field(default_factory=dict)


class Jobs:
    """The region's jobs.  `wake` is called after each commit that put something for the tree."""

    def __init__(self, region: Region, changes: Changes, wake: Callable[[], None]) -> None:
        self._region = region
        self._changes = changes
        self._wake = wake
        self._look = asyncio.Event()

    async def create(self, request: Request) -> dict[str, Any]:
        """Create a job and put its order for the tree: {job, targets}.

        Raises:
            UsageError: type.unknown, expiry.invalid, job.empty, target.role, node.unknown, group.unknown, package.*,
                job.conflict.
        """
        options = _checked(request)
        async with self._region.db.write() as connection:
            found = await resolve(connection, request.targets, request.groups)
            _check_targets(request, found)
            package = await find_sealed(connection, request.package)
            _, version, _ = split_reference(request.package)
            await _check_conflict(connection, request.type, package.name, found)
            number = await self._next_number(connection)
            now = self._region.clock()
            if request.type == "remove" and not version:
                options.setdefault("any_version", True)
            job = Job(
                id=f"j{number}-{secrets.token_hex(2)}",
                number=number,
                type=request.type,
                revision=0,
                state="open",
                cancelling=False,
                package=package.name,
                version=package.version,
                package_revision=package.revision,
                root=package.root,
                note=request.note,
                created_by=request.by,
                options=options,
                created=now,
                expires=now + request.expires_s * 1000,
                closed=None,
            )
            await job_rows.insert_job(connection, job, found)
            await job_rows.order(self._region, connection, job, "same", ())
        self._told(job.id)
        return {"job": job.id, "targets": len(found)}

    async def cancel(self, job: str) -> dict[str, Any]:
        """Order the job's open targets to leave it.

        Raises:
            UsageError: job.unknown or job.closed.
        """
        async with self._region.db.write() as connection:
            found = await job_rows.get(connection, job)
            if found.state != "open":
                raise UsageError(
                    code="job.closed",
                    what=f"The job {found.id} is {found.state} already.",
                    todo=f"`tiercast job show {found.id}` shows what came of it.",
                )
            await job_rows.advance(self._region, connection, found, CancelAsked())
        self._told(found.id)
        return {"job": found.id, "again": found.cancelling}

    async def delete(self, job: str) -> dict[str, Any]:
        """Forget a closed job and its receipts.

        Raises:
            UsageError: job.unknown or job.open.
        """
        async with self._region.db.write() as connection:
            found = await job_rows.get(connection, job)
            if found.state == "open":
                raise UsageError(
                    code="job.open",
                    what=f"The job {found.id} is open.",
                    todo=f"`tiercast job cancel {found.id}` first.",
                )
            for table in (targets, hops, orders):
                await connection.execute(delete(table).where(table.c.job == found.id))
            await connection.execute(delete(jobs).where(jobs.c.id == found.id))
        return {"job": found.id}

    async def joined(self, connection: AsyncConnection, node: str) -> list[str]:
        """`node` has a new key: in this transaction, order it what open jobs have for it; those jobs."""
        query = select(targets.c.job).where(targets.c.node == node, targets.c.state.in_(OPEN_STATES))
        waiting = set((await connection.execute(query)).scalars())
        found = [job for job in await job_rows.open_jobs(connection) if job.id in waiting]
        for job in found:
            await job_rows.advance(self._region, connection, job, TargetJoined(node))
        return [job.id for job in found]

    async def removed(self, connection: AsyncConnection, node: str) -> list[str]:
        """`node` left the region: in this transaction, close what it was the target of; those jobs."""
        query = select(targets.c.job).where(targets.c.node == node, targets.c.state.in_(OPEN_STATES))
        touched = list((await connection.execute(query)).scalars())
        await connection.execute(
            update(targets)
            .where(targets.c.node == node, targets.c.state.in_(OPEN_STATES))
            .values(
                state="cancelled",
                code="node.removed",
                detail="the node was removed from the region",
                at=self._region.clock(),
                proved=False,
            )
        )
        for name in touched:
            job = await job_rows.find(connection, name)
            if job is not None:
                counted = Counted(await job_rows.counts(connection, name))
                await job_rows.advance(self._region, connection, job, counted)
        return touched

    async def expire(self) -> int | None:
        """Close what expired; when to look again, in milliseconds since 1970."""
        async with self._region.db.read() as connection:
            open_now = await job_rows.open_jobs(connection)
        wakes: list[int] = []
        for job in open_now:
            if self._region.clock() < job.expires:
                wakes.append(job.expires)
                continue
            async with self._region.db.write() as connection:
                fresh = await job_rows.find(connection, job.id)
                wake = fresh and await job_rows.advance(self._region, connection, fresh, TimePassed())
            if wake:
                wakes.append(wake)
            else:
                self._changes.touch(job.id)
        return min(wakes, default=None)

    async def run(self) -> None:
        """For ever: close jobs at their expiry."""
        while True:
            self._look.clear()
            at = await self.expire()
            left = _LOOK_S if at is None else min(max((at - self._region.clock()) / 1000, 0.05), _LOOK_S)
            try:
                async with asyncio.timeout(left):
                    await self._look.wait()
            except TimeoutError:
                continue

    def _told(self, job: str) -> None:
        self._wake()
        self._look.set()
        self._changes.touch(job)

    async def _next_number(self, connection: AsyncConnection) -> int:
        await connection.execute(update(region_table).values(last_job=region_table.c.last_job + 1))
        number: int = (await connection.execute(select(region_table.c.last_job))).scalar_one()
        return number


def _checked(request: Request) -> dict[str, str | int | bool]:
    """The request's options, once all that needs no database was looked at."""
    if request.type not in ROLE_OF:
        raise UsageError(
            code="type.unknown", what=f"There is no job type {request.type!r}.", todo=f"Types: {', '.join(ROLE_OF)}."
        )
    if not 0 < request.expires_s <= MAX_EXPIRY_S:
        raise UsageError(
            code="expiry.invalid",
            what=f"A job can't expire {request.expires_s} seconds from now.",
            todo=f"Choose 1 to {MAX_EXPIRY_S} seconds.",
        )
    if len(request.note) > _MAX_NOTE:
        raise UsageError(
            code="note.invalid", what=f"The note is longer than {_MAX_NOTE} characters.", todo="Shorten it."
        )
    wrong = sorted(str(key) for key, value in request.options.items() if not isinstance(value, str | int | bool))
    if wrong or len(request.options) > _MAX_OPTIONS:
        raise UsageError(
            code="options.invalid",
            what=f"Options must be at most {_MAX_OPTIONS} texts, whole numbers and flags; not so: {', '.join(wrong)}.",
            todo="Nothing was done.",
        )
    return dict(request.options)


def _check_targets(request: Request, found: Sequence[Node]) -> None:
    if not found:
        empty = f" (empty: {', '.join(request.groups)})" if request.groups else ""
        raise UsageError(
            code="job.empty",
            what=f"The job has no targets{empty}.",
            todo="Name nodes or a group with members; no targets never means all.",
        )
    role = ROLE_OF[request.type]
    wrong = [node.name for node in found if node.role != role]
    if wrong:
        raise UsageError(
            code="target.role",
            what=f"{request.type} is for {role}s; these are not: {', '.join(wrong[:20])}.",
            todo=f"Name {role}s only. Nothing was done.",
        )


async def _check_conflict(connection: AsyncConnection, type_: str, package: str, found: Sequence[Node]) -> None:
    query = (
        select(jobs.c.id, jobs.c.created_by, targets.c.node)
        .join(targets, targets.c.job == jobs.c.id)
        .where(
            jobs.c.state == "open",
            jobs.c.type == OPPOSITE[type_],
            jobs.c.package == package,
            targets.c.state.in_(OPEN_STATES),
        )
        .order_by(jobs.c.number)
    )
    names = {node.name for node in found}
    both = [row for row in await connection.execute(query) if row.node in names]
    if both:
        first = both[0]
        raise UsageError(
            code="job.conflict",
            what=f"The job {first.id} of {first.created_by} is to {OPPOSITE[type_]} {package} on {first.node}"
            f"{f' and {len(both) - 1} more of these targets' if len(both) > 1 else ''}.",
            todo=f"Wait for it, or `tiercast job cancel {first.id}` and order again. Nothing was done.",
        )
