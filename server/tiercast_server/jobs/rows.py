"""Jobs and targets as rows: reading them, and carrying out what a job's machine commands.

Rules
- Everything here runs inside the caller's write transaction, orders and their handover included: a job and
  its order are there together or not at all.
- A target without a key waits, with the reason, until it joins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, func, insert, select, true, update
from sqlalchemy.ext.asyncio import AsyncConnection

from tiercast_protocol.content.jobs import jobtypes
from tiercast_protocol.content.jobs.jobnames import number_of
from tiercast_protocol.content.jobs.order import CANCEL, FORCE, SOME
from tiercast_protocol.content.jobs.receipt import STATES
from tiercast_protocol.content.package import phases
from tiercast_protocol.errors import UsageError
from tiercast_protocol.wire import codec
from tiercast_server import group_wakes, handover, site_jobs
from tiercast_server.database.tables import job_requests, jobs, orders, packages, targets
from tiercast_server.jobs import requests, unwoken
from tiercast_server.jobs.life import (
    Close,
    CloseTargets,
    Command,
    Counted,
    Event,
    JobLife,
    JobState,
    Order,
    Reopen,
    WakeAt,
)
from tiercast_server.jobs.search import Filter, where
from tiercast_server.nodes.nodes import Node, resolve
from tiercast_server.orders import Subject, sign
from tiercast_server.region import Region

OPEN_STATES = tuple(state for state, final in STATES.items() if not final)
_NAMES = 10_000


@dataclass(frozen=True, slots=True)
class Job:
    """One row of jobs; times in milliseconds since 1970; `origin` is the job that it is another run of."""

    id: str
    number: int
    type: str
    revision: int
    state: JobState
    cancelling: bool
    package: str
    version: str
    package_revision: int
    root: bytes
    note: str
    created_by: str
    options: dict[str, str | int | bool]
    created: int
    expires: int
    closed: int | None
    target: str = ""
    follows: bool = False
    origin: str = ""

    @property
    def shown_state(self) -> jobtypes.JobState:
        """Its state in the life of jobs (`jobtypes`)."""
        return "cancelling" if self.state == "open" and self.cancelling else self.state


def _job(row: RowMapping) -> Job:
    options: dict[str, Any] = codec.decode_plain(row["options"])
    return Job(
        id=row["id"],
        number=row["number"],
        type=row["type"],
        revision=row["revision"],
        state=row["state"],
        cancelling=row["cancelling"],
        package=row["package"],
        version=row["version"],
        package_revision=row["package_revision"],
        root=row["root"],
        note=row["note"],
        created_by=row["created_by"],
        options=options,
        created=row["created"],
        expires=row["expires"],
        closed=row["closed"],
        target=row["target"],
        follows=row["follows"],
        origin=row["origin"],
    )


async def find(connection: AsyncConnection, job: str) -> Job | None:
    """The job `job`."""
    row = (await connection.execute(select(jobs).where(jobs.c.id == job))).mappings().one_or_none()
    return None if row is None else _job(row)


async def get(connection: AsyncConnection, job: str) -> Job:
    """The job `job`; its number alone will do.

    Raises:
        UsageError: job.unknown, or job.draft.
    """
    found = await find(connection, job)
    if found is None and (number := number_of(job)) is not None:
        query = select(jobs).where(jobs.c.number == number)
        row = (await connection.execute(query)).mappings().one_or_none()
        found = None if row is None else _job(row)
    if found is None:
        draft = await requests.find_draft(connection, job)
        if draft is not None:
            jobtypes.check("watch", type_=draft.type, state=jobtypes.DRAFT, job=draft.job)
        raise UsageError(
            code="job.unknown", what=f"There is no job {job!r}.", todo="`tiercast job list` shows all jobs."
        )
    return found


async def newest(connection: AsyncConnection, limit: int, wanted: Filter) -> list[tuple[Job, str, str]]:
    """The newest of the wanted jobs, newest first, each with its folder and what it is about."""
    both = jobs.outerjoin(job_requests, job_requests.c.job == jobs.c.id)
    query = select(jobs, job_requests.c.folder, job_requests.c.about).select_from(both)
    query = query.where(where(wanted)).order_by(jobs.c.number.desc()).limit(limit)
    rows = (await connection.execute(query)).mappings()
    return [(_job(row), row["folder"] or "", row["about"] or row["package"]) for row in rows]


async def open_jobs(connection: AsyncConnection) -> list[Job]:
    """Every open job, oldest first."""
    query = select(jobs).where(jobs.c.state == "open").order_by(jobs.c.number)
    return [_job(row) for row in (await connection.execute(query)).mappings()]


async def following(connection: AsyncConnection, now: int) -> list[Job]:
    """Every job to which nodes may be added that join its groups, newest first."""
    query = select(jobs).where(jobs.c.follows.is_(True), jobs.c.expires > now).order_by(jobs.c.number.desc())
    found = [_job(row) for row in (await connection.execute(query)).mappings()]
    return [job for job in found if JobLife(job.expires, job.state, job.cancelling).takes_more(now)]


async def counts(connection: AsyncConnection, job: str) -> dict[str, int]:
    """How many targets are in which state."""
    query = select(targets.c.state, func.count().label("n")).where(targets.c.job == job).group_by(targets.c.state)
    return {row.state: row.n for row in await connection.execute(query)}


async def advance(region: Region, connection: AsyncConnection, job: Job, *events: Event) -> int | None:
    """Tell the job's machine of `events` and do what it commands; when to say `TimePassed`, if it asked."""
    now = region.clock()
    life = JobLife(expires=job.expires, state=job.state, cancelling=job.cancelling)
    wake: int | None = None
    queue: list[Command] = [command for event in events for command in life.handle(event, now=now)]
    while queue:
        command = queue.pop(0)
        match command:
            case Order(type_, names, force):
                await order(region, connection, job, type_, names, force=force)
            case CloseTargets():
                if command.state == "expired":
                    for one in await unwoken.concluded(connection, job.id):
                        await close_targets(connection, job, one, now)
                await close_targets(connection, job, command, now)
                queue += life.handle(Counted(await counts(connection, job.id)), now=now)
            case Close(state):
                await connection.execute(update(jobs).where(jobs.c.id == job.id).values(state=state, closed=now))
            case Reopen():
                await connection.execute(update(jobs).where(jobs.c.id == job.id).values(state="open", closed=None))
            case WakeAt(at):
                wake = at
    if life.cancelling != job.cancelling:
        await connection.execute(update(jobs).where(jobs.c.id == job.id).values(cancelling=life.cancelling))
    return wake


async def insert_job(connection: AsyncConnection, job: Job, found: Sequence[Node]) -> None:
    """Write a new job and its targets."""
    await connection.execute(
        insert(jobs).values(
            id=job.id,
            number=job.number,
            type=job.type,
            revision=job.revision,
            state=job.state,
            cancelling=job.cancelling,
            package=job.package,
            version=job.version,
            package_revision=job.package_revision,
            root=job.root,
            note=job.note,
            created_by=job.created_by,
            options=codec.encode(job.options),
            created=job.created,
            expires=job.expires,
            target=job.target,
            follows=job.follows,
            origin=job.origin,
        )
    )
    await add_targets(connection, job, found, job.created)


async def add_targets(connection: AsyncConnection, job: Job, found: Sequence[Node], now: int) -> None:
    """Write targets; those that hold no key yet wait for it."""
    waiting = {"state": "waiting", "code": "node.not-joined", "detail": ""}
    rows = [
        {
            "job": job.id,
            "node": node.name,
            "parent": node.parent,
            "ordered": 0,
            "at": now,
            "since": now,
            **waiting,
        }
        for node in found
    ]
    await connection.execute(insert(targets), rows)


async def set_options(connection: AsyncConnection, job: str, options: dict[str, str | int | bool]) -> None:
    """The job's options from now on; orders signed later carry them."""
    await connection.execute(update(jobs).where(jobs.c.id == job).values(options=codec.encode(options)))


async def unfollow(connection: AsyncConnection, job: str) -> None:
    """From now on nobody becomes a target of it by joining a group."""
    await connection.execute(update(jobs).where(jobs.c.id == job).values(follows=False))


async def left_to_send(connection: AsyncConnection, job: Job) -> tuple[int, int]:
    """The most stored bytes that any open target of the job still lacks, as far as it said; and those of all of it."""
    stored = (
        await connection.execute(select(packages.c.stored_bytes).where(packages.c.root == job.root).limit(1))
    ).scalar_one_or_none() or 0
    query = select(targets.c.done, targets.c.total).where(targets.c.job == job.id, targets.c.state.in_(OPEN_STATES))
    left = [1 - row.done / row.total if row.total else 1.0 for row in await connection.execute(query)]
    return int(stored * max(left, default=0.0)), stored


async def close_targets(connection: AsyncConnection, job: Job, command: CloseTargets, now: int) -> None:
    """The region's own word on those targets that `command` means."""
    which: ColumnElement[bool] = (targets.c.job == job.id) & targets.c.state.in_(OPEN_STATES)
    if command.never_ordered:
        which &= targets.c.ordered == 0
    said = {"state": command.state, "code": command.code, "detail": command.detail, "at": now, "since": now}
    # An empty part is the whole; of a large one so many at a time, for a statement has only so many values.
    for at in range(0, len(command.nodes), _NAMES) or (0,):
        some = targets.c.node.in_(command.nodes[at : at + _NAMES]) if command.nodes else true()
        await connection.execute(update(targets).where(which & some).values(**said, proved=False))


async def order(
    region: Region,
    connection: AsyncConnection,
    job: Job,
    type_: str,
    names: Sequence[str],
    *,
    force: bool = False,
    step: str = "",
) -> None:
    """Sign the job's next order for `names` (or all its open targets) that hold a key, and put it for handover.

    `step`: how far those are to go that were ordered before (`phases`).
    """
    said: dict[str, str | int | bool] = {}
    if type_ == CANCEL:
        said.update({word: True for word, is_so in ((SOME, bool(names)), (FORCE, force)) if is_so})
    if not names or step or type_ == CANCEL:
        query = select(targets.c.node).where(targets.c.job == job.id, targets.c.state.in_(OPEN_STATES))
        still = set((await connection.execute(query)).scalars())
        names = [name for name in names if name in still] if names else sorted(still)
    joined = [node for node in await _existing(connection, names) if node.has_joined]
    vouching = await site_jobs.vouchers(connection, job) if type_ == "same" and not step else []
    if not joined and not vouching:
        return
    newest_revision = select(jobs.c.revision).where(jobs.c.id == job.id)
    revision = (await connection.execute(newest_revision)).scalar_one() + 1
    now = region.clock()
    subject = Subject(
        job=job.id,
        type=job.type if type_ == "same" else type_,
        package=job.package,
        version=job.version,
        package_revision=job.package_revision,
        root=job.root,
        issued=now,
        expires=job.expires,
        options=said if type_ == CANCEL else job.options | ({phases.STEP: step} if step else {}),
    )
    wakes = await group_wakes.among(connection, [node.name for node in joined]) if type_ != CANCEL else set[str]()
    signed = sign(
        subject, revision, joined, vouching, region=region.name, epoch=region.epoch, key=region.key, wakes=wakes
    )
    await connection.execute(
        insert(orders).values(
            job=job.id, revision=revision, type=subject.type, body=signed.body, signature=signed.signature, created=now
        )
    )
    await connection.execute(update(jobs).where(jobs.c.id == job.id).values(revision=revision))
    if type_ == "same" and not step:
        await mark_ordered(connection, job.id, [node.name for node in joined], revision, now)
    for bundle in signed.bundles:
        await handover.put(connection, bundle, cause=job.id)
    if vouching:
        await site_jobs.keep(connection, job.id, revision, vouching)
        await site_jobs.tell(connection, job.id, signed.body, signed.signature, signed.vouchers)


async def _existing(connection: AsyncConnection, names: Sequence[str]) -> list[Node]:
    """The nodes of `names`, by name; all of them were checked, or stand in rows."""
    return await resolve(connection, names, ())


async def mark_ordered(connection: AsyncConnection, job: str, names: Sequence[str], revision: int, now: int) -> None:
    """These are ordered by this revision."""
    fresh = {
        "ordered": revision,
        "state": "ordered",
        "code": "",
        "detail": "",
        "at": now,
        "since": now,
        "proved": False,
    }
    for at in range(0, len(names), _NAMES):
        which = (targets.c.job == job) & targets.c.node.in_(names[at : at + _NAMES])
        await connection.execute(update(targets).where(which).values(**fresh))
