"""What administrators do with jobs: create, cancel, delete; and what the clock and newcomers do to them.

Rules
- One verb is one transaction: what is wrong with it (`job_checks`) leaves nothing behind.
- A newcomer is ordered what open jobs have for it; who is removed ends its part of them.
- State first, then the tree: `handover` tells what stands in the database, also after a kill.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from tiercast_protocol.content.jobs import jobtypes, provisos, times
from tiercast_protocol.content.jobs.shape import Shape, sign_shape
from tiercast_protocol.content.jobs.target import names_of
from tiercast_protocol.content.jobs.vouching import LONGEST, SITE
from tiercast_protocol.content.package import phases
from tiercast_protocol.transfer import terms
from tiercast_protocol.transfer.overlap import Limit
from tiercast_protocol.wire.messages import JobShape
from tiercast_server import group_windows, handover, refusals, site_intake, site_jobs
from tiercast_server.changes import Changes
from tiercast_server.database.tables import hops, jobs, orders, targets
from tiercast_server.desired.guard import check_assigned
from tiercast_server.jobs import requests
from tiercast_server.jobs import rows as job_rows
from tiercast_server.jobs.checks import CONFIRM_ABOVE, Request, check_conflict, check_count, check_targets, checked
from tiercast_server.jobs.life import CancelAsked, Counted, TargetJoined, TimePassed
from tiercast_server.jobs.parts import Part, chosen
from tiercast_server.jobs.proviso_checks import completed
from tiercast_server.jobs.rows import OPEN_STATES, Job
from tiercast_server.jobs.spreads import spread_out
from tiercast_server.jobs.time_checks import Plan, check_times
from tiercast_server.jobs.transfer_checks import check_possible
from tiercast_server.packages import cabinet_rights, dependencies, dependents, version_orders
from tiercast_server.packages import tests as package_tests
from tiercast_server.packages.packages import Package, find_sealed, split_reference
from tiercast_server.plans import rows as plan_rows
from tiercast_server.region import Region
from tiercast_server.rollouts import rows as rollout_rows
from tiercast_server.targeting import Picked, Targeting, shown

#: The clock is looked at at least this often, because it may be set back and forth.
_LOOK_S = 60.0
#: What jobs are about that are about no package.
_NO_PACKAGE = Package(*(0, "", "", 0, b"", ""), *(0, 0, 0, 0), "", "", 0)


class Jobs:
    """The region's jobs.  `wake` is called after each commit that put something for the tree."""

    def __init__(
        self,
        region: Region,
        changes: Changes,
        wake: Callable[[], None],
        targeting: Targeting | None = None,
        confirm_above: int = CONFIRM_ABOVE,
        *,
        tested_only: bool = False,
    ) -> None:
        self.region = self._region = region
        self.targeting = self._targeting = targeting or Targeting(region)
        self.confirm_above = confirm_above
        self._tested_only = tested_only
        self._changes = changes
        self._wake = wake
        self._look = asyncio.Event()

    async def create(self, request: Request, ways: Sequence[Sequence[Limit]] = ()) -> dict[str, Any]:
        """Create a job and put its order for the tree: {job, targets, follows, needs}; a dry run shows who gets it.

        What its package needs and is missing becomes jobs before it (`needs`).  `ways` are the limits on the ways.

        Raises:
            UsageError: type.unknown, expiry.invalid, job.empty, target.role, node.unknown, group.unknown, package.*,
                job.conflict, job.assigned, transfer.*, times.*, window.*, target.syntax, condition.*, fact.unknown,
                confirm.*, dependency.*.
        """
        options = await asyncio.to_thread(checked, request)  # conditions are compiled there
        meant = request.meant
        async with self._targeting.lock:
            async with self._region.db.read() as connection:
                picked = await self._targeting.pick(connection, meant, jobtypes.of(request.type).role)
            check_targets(request, picked)
            async with self._region.db.write() as connection:
                made = await self.place_all(connection, request, options, picked, ways)
        if "job" in made:
            self.told(made["job"], *(row["job"] for row in made["needs"]))
        return made

    async def place_all(
        self,
        connection: AsyncConnection,
        request: Request,
        options: dict[str, str | int | bool],
        picked: Picked,
        ways: Sequence[Sequence[Limit]],
    ) -> dict[str, Any]:
        """As `place`, and before it the jobs that bring what its package needs (`needs`).

        What it raises may have written something: the caller rolls back, as far as a savepoint of his.
        """
        needed = await dependencies.needs(connection, request, [node.name for node in picked.nodes])
        said = dependencies.shown(needed)
        by_name = {node.name: node for node in picked.nodes}
        made: dict[str, Any] = {}
        if request.type == jobtypes.OFFER and needed:
            made = await self.place(connection, request, options, picked, ways)
        for need, row in zip(needed, said, strict=True):
            other = dependencies.request_for(need, request, request.package)
            nodes = [by_name[name] for name in need.nodes]
            other = replace(other, confirm=len(nodes) if request.confirm else 0)
            own = options | ({provisos.WITH_OFFER: made["job"]} if "job" in made else {})
            row["job"] = (await self.place(connection, other, own, Picked(nodes), ways)).get("job", "")
        return (made or await self.place(connection, request, options, picked, ways)) | {"needs": said}

    async def place(
        self,
        connection: AsyncConnection,
        request: Request,
        options: dict[str, str | int | bool],
        picked: Picked,
        ways: Sequence[Sequence[Limit]],
    ) -> dict[str, Any]:
        """`create` in the caller's transaction, who holds the targets' lock and says `told` after the commit.

        What it raises was found before it wrote anything, but for an impossible folder.
        """
        found = picked.nodes
        follows = (
            request.follow
            and not phases.step_of(options)
            and request.meant is not None
            and bool(names_of(request.meant, "group"))
        )
        kind = jobtypes.of(request.type)
        package = await find_sealed(connection, request.package) if kind.package else _NO_PACKAGE
        await self.check_package(connection, request, package)
        await check_conflict(connection, request.type, package.name, found)
        version = package.version if request.type != "remove" else split_reference(request.package)[1]
        await check_assigned(connection, self._targeting, request.type, package.name, version, found)
        now = self._region.clock()
        if kind.content:
            check_possible(options, size=package.stored_bytes, now=now / 1000, left=request.expires_s)
        size = package.stored_bytes if kind.content else 0
        expires = now / 1000 + request.expires_s
        options = spread_out(options, size, ways, request.expires_s)
        check_times(Plan(request.type, options, now / 1000, expires, size, ways, anyway=request.anyway))
        options = completed(request.type, options, package.definition, now, int(expires * 1000), package.stored_bytes)
        options = await version_orders.in_options(connection, options)
        names = [node.name for node in found]
        await group_windows.check_targets(connection, request.type, options, names, (now / 1000, expires))
        if request.type == "remove":
            if not request.anyway:
                await dependents.check_needed(connection, package.name, [node.name for node in found])
            else:
                options[provisos.THOUGH_NEEDED] = True
        if request.dry_run:
            refused = await refusals.refused(connection, package, options, [node.name for node in found])
            return shown(picked, confirm=len(found) > self.confirm_above) | ({"refused": refused} if refused else {})
        check_count(request, len(found), self.confirm_above)
        id_, number = await requests.identity(connection, request.kept)
        told = await site_jobs.definition(connection, str(request.meant), kind.role) if follows else ""
        if told and len(told) <= LONGEST:
            options[SITE] = told
        if request.type in {"remove", jobtypes.VERIFY} and not split_reference(request.package)[1]:
            options.setdefault("any_version", True)
        job = Job(
            id=id_,
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
            target=str(request.meant),
            follows=follows,
        )
        await job_rows.insert_job(connection, job, found)
        await requests.keep(connection, (id_, number), request.kept, request.by, now, draft=False)
        await job_rows.order(self._region, connection, job, "same", ())
        spread = {"fetch_spread_s": over} if (over := options.get(times.FETCH_SPREAD)) else {}
        untold = {"untold": len(told), "most_told": LONGEST} if len(told) > LONGEST else {}
        return spread | untold | {"job": job.id, "targets": len(found), "follows": follows}

    async def check_package(self, connection: AsyncConnection, request: Request, package: Package) -> None:
        """Refuse a package that whoever asks may not have, or that was to be tested first.

        Raises:
            UsageError: cabinet.denied, package.untested.
        """
        if package.cabinet:
            caller = cabinet_rights.Caller(request.by, request.role)
            await cabinet_rights.check(connection, package.cabinet, caller, "read")
        if self._tested_only and not request.test and jobtypes.of(request.type).content:
            await package_tests.check_tested(connection, package)

    async def cancel(self, job: str, part: Part | None = None, *, force: bool = False) -> dict[str, Any]:
        """Order the job's open targets, or those of `part`, to leave it; `force` does not wait for programs that run.

        Raises:
            UsageError: job.unknown, job.closed, job.draft; as `chosen`.
        """
        async with self._region.db.write() as connection:
            found = await job_rows.get(connection, job)
            if found.follows and not part:
                await job_rows.unfollow(connection, found.id)
                await site_intake.end(self._region, connection, found.id)
            names: list[str] = []
            if part or not found.follows or found.state == "open":
                jobtypes.check("cancel", type_=found.type, state=found.shown_state, job=found.id)
                names = await chosen(connection, found, part, self._targeting) if part else []
                await job_rows.advance(self._region, connection, found, CancelAsked(tuple(names), force))
        self.told(found.id)
        return {"job": found.id, "again": found.cancelling, "targets": names}

    async def set_terms(self, job: str, new: dict[str, Any], clear: list[str]) -> dict[str, Any]:
        """Change how an open job's content travels: its terms now.

        Raises:
            UsageError: job.unknown, job.closed, job.type, transfer.*, window.*.
        """
        async with self._region.db.write() as connection:
            found = await job_rows.get(connection, job)
            jobtypes.check("set", type_=found.type, state=found.shown_state, job=found.id)
            options = terms.changed(found.options, new, clear, terms.JOB_WORDS)
            now = self._region.clock()
            if new.keys() & terms.PACE_WORDS:  # what was possible when it was ordered is not asked again
                size, whole = await job_rows.left_to_send(connection, found)
                check_possible(options, size=size, now=now / 1000, left=(found.expires - now) / 1000, whole=whole)
            else:
                terms.job_words(options)
            change = int(options.get(terms.CHANGE, 0)) + 1
            said = {key: value for key, value in options.items() if key in terms.JOB_WORDS}
            await job_rows.set_options(connection, found.id, {**options, terms.CHANGE: change})
            region = self._region
            shape = Shape(region=region.name, epoch=region.epoch, job=found.id, change=change, options=said)
            data, signature = sign_shape(shape, region.key)
            await handover.put(connection, JobShape(shape=data, signature=signature), cause=found.id)
        self.told(found.id)
        return {"job": found.id, "terms": said}

    async def delete(self, job: str) -> dict[str, Any]:
        """Forget a closed job and its receipts, or a draft.

        Raises:
            UsageError: job.unknown, job.open, job.rollout or job.plan.
        """
        async with self._region.db.write() as connection:
            draft = await requests.find_draft(connection, job)
            if draft is not None:
                await requests.forget(connection, draft.job)
                return {"job": draft.job}
            found = await job_rows.get(connection, job)
            jobtypes.check("delete", type_=found.type, state=found.shown_state, job=found.id)
            await rollout_rows.check_unused(connection, found.id)
            await plan_rows.check_unused(connection, found.id)
            await site_intake.end(self._region, connection, found.id)
            await site_jobs.forget(connection, found.id)
            for table in (targets, hops, orders):
                await connection.execute(delete(table).where(table.c.job == found.id))
            await connection.execute(delete(jobs).where(jobs.c.id == found.id))
            await requests.forget(connection, found.id)
        return {"job": found.id}

    async def joined(self, connection: AsyncConnection, node: str) -> list[str]:
        """`node` has a new key: in this transaction, order it what open jobs have for it; those jobs."""
        await group_windows.settle(self._region, connection, (node,))
        query = select(targets.c.job).where(targets.c.node == node, targets.c.state.in_(OPEN_STATES))
        waiting = set((await connection.execute(query)).scalars())
        found = [job for job in await job_rows.open_jobs(connection) if job.id in waiting]
        for job in found:
            await job_rows.advance(self._region, connection, job, TargetJoined(node))
        return [job.id for job in found]

    def told(self, *jobs: str) -> None:
        """After a commit that changed these jobs, or put something for the tree."""
        self._wake()
        self._look.set()
        self._changes.touch(*(jobs or ("",)))  # whoever waits for anything looks again

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
                since=self._region.clock(),
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
