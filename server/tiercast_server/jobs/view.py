"""What is shown of jobs.

Rules
- Counts are computed from the records, never added up.
- `watch` pushes a snapshot when something changed, at most two a second, and ends with the final one.
- Hops are what gateways say of themselves, and what this server itself sends to each of its children.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from tiercast_protocol.content.jobs import jobtypes
from tiercast_protocol.content.jobs.receipt import Receipt
from tiercast_protocol.content.jobs.vouching import SITE
from tiercast_protocol.errors import UsageError
from tiercast_protocol.wire import codec
from tiercast_server import why
from tiercast_server.changes import Changes
from tiercast_server.database.tables import targets
from tiercast_server.jobs import requests, skipped
from tiercast_server.jobs import rows as job_rows
from tiercast_server.jobs import targets as job_targets
from tiercast_server.jobs.missed import missed, timed
from tiercast_server.jobs.search import Filter, matches
from tiercast_server.jobs.tallies import Tallies
from tiercast_server.jobs.targets import Wanted
from tiercast_server.region import Region
from tiercast_server.rollouts import sets

#: Seconds between two snapshots of a watch.
PUSH_S = 0.5
_LOOK_S = 5.0
_MAX_LIST = 1_000

#: Gives the server's own hops for a job as `show` gives it: rows as in `hops`.
OwnHops = Callable[[dict[str, Any]], list[dict[str, Any]]]


class JobView:
    """Reading side of the region's jobs."""

    def __init__(self, region: Region, changes: Changes, own_hops: OwnHops | None = None) -> None:
        self._region = region
        self._changes = changes
        self._own_hops = own_hops
        self._tallies = Tallies(changes)

    async def list_(self, limit: int, wanted: Filter | None = None) -> list[dict[str, Any]]:
        """The newest of the wanted jobs and drafts, with their counts."""
        wanted, limit = wanted or Filter(), max(1, min(limit, _MAX_LIST))
        async with self._region.db.read() as connection:
            found = await job_rows.newest(connection, limit, wanted)
            kept = await requests.drafts(connection) if wanted.drafts else []
            drafts = [one for one in kept if matches(one, wanted)]
            counted = dict(await self._tallies.of(connection, [job for job, _, _ in found]))
            await skipped.split(connection, [job for job, _, _ in found], counted)
        shown = [
            (
                job.number,
                {
                    "job": job.id,
                    "type": job.type,
                    "package": job.package,
                    "version": job.version,
                    "about": about,
                    "folder": folder,
                    "created": job.created,
                    "expires": job.expires,
                    "state": job.state,
                    "cancelling": job.cancelling,
                    "by": job.created_by,
                    "note": job.note,
                    "targets": sum(counted.get(job.id, {}).values()),
                    "counts": counted.get(job.id, {}),
                },
            )
            for job, folder, about in found
        ] + [(draft.number, draft.shown()) for draft in drafts]
        return [one for _, one in sorted(shown, key=lambda pair: -pair[0])][:limit]

    async def show(self, job: str, wanted: Wanted | None = None) -> dict[str, Any]:
        """One job, a page of its targets, and hops; or a draft, and what it was asked with.

        Args:
            job: its id or number.
            wanted: which targets; the first page of all by default.

        Raises:
            UsageError: job.unknown.
        """
        async with self._region.db.read() as connection:
            draft = await requests.find_draft(connection, job)
            if draft is not None:
                return draft.shown() | {"targets": [], "request": draft.request}
            found = await job_rows.get(connection, job)
            said, folder = await requests.asked_with(connection, found.id) or ({}, "")
            wanted = wanted or Wanted()
            rows, following = await job_targets.page(connection, found.id, wanted)
            if wanted.alone:
                return await self._alone(connection, found, rows, following)
            counted, held = await job_targets.counts(connection, found)
            phased = await sets.phases_of(connection, found)
            relayed = await job_targets.hops_of(connection, found.id)
            parents = await why.gateways(connection)
            left_out = sum(counted.values()) - len(rows)
            looked = rows
            if left_out and timed(found.options, self._region.clock()) and not wanted.is_part:
                looked = await job_targets.all_of(connection, found.id)
        sets.show_phases(found, rows)
        gateways = frozenset(parents)
        for row in rows:  # whoever moved is shown where it is, not where it was when the job was ordered
            parents[row["node"]] = row["parent"] = row.pop("present")
        shown: dict[str, Any] = {
            "job": found.id,
            "type": found.type,
            "package": found.package,
            "version": found.version,
            "package_revision": found.package_revision,
            "root": found.root,
            "revision": found.revision,
            "created": found.created,
            "expires": found.expires,
            "closed": found.closed,
            "state": found.state,
            "cancelling": found.cancelling,
            "by": found.created_by,
            "note": found.note,
            "about": requests.about(said) or found.package,
            "folder": folder,
            "origin": found.origin,
            "options": {word: value for word, value in found.options.items() if word != SITE},
            "target": found.target,
            "follows": found.follows,
            "counts": counted,
            "phases": phased,
            "bytes": held,
            "targets": rows,
            "left_out": left_out,
            "next": following,
            "hops": relayed,
        }
        if self._own_hops is not None:
            shown["hops"] = self._own_hops(shown) + relayed
        # Of a part that was asked for nothing is told of all.
        whole = not wanted.is_part
        shown["missed"] = missed(found.options, looked, relayed, gateways, now=self._region.clock()) if whole else {}
        why.explain(rows, parents, shown["hops"])
        return shown

    async def _alone(
        self, connection: AsyncConnection, job: job_rows.Job, rows: list[dict[str, Any]], following: str
    ) -> dict[str, Any]:
        """A further page: the targets, and why they wait."""
        relayed = await job_targets.hops_of(connection, job.id)
        parents = await why.gateways(connection)
        sets.show_phases(job, rows)
        parents |= {row["node"]: row.pop("present") for row in rows}
        said = (
            self._own_hops({"job": job.id, "state": job.state, "type": job.type}) if self._own_hops is not None else []
        )
        why.explain(rows, parents, said + relayed)
        return {"job": job.id, "targets": rows, "next": following}

    async def watch(self, job: str, wanted: Wanted | None = None) -> AsyncIterator[dict[str, Any]]:
        """Snapshots as `show` gives them: the present one, each change, the final one."""
        last: dict[str, Any] | None = None
        while True:
            seen = self._changes.count(last["job"]) if last else 0
            now = await self.show(job, wanted)
            if now["state"] == jobtypes.DRAFT:
                jobtypes.check("watch", type_=now["type"], state=jobtypes.DRAFT, job=now["job"])
            if now != last:
                yield now
            last = now
            if now["state"] != "open":
                return
            await self._changes.pace(now["job"], PUSH_S)
            patience = PUSH_S if self._own_hops is not None else _LOOK_S
            await self._changes.wait(now["job"], max(seen, 0), timeout=patience)

    async def receipt(self, job: str, node: str) -> dict[str, Any]:
        """The signed receipt of one target.

        Raises:
            UsageError: job.unknown, target.unknown or receipt.none.
        """
        async with self._region.db.read() as connection:
            found = await job_rows.get(connection, job)
            query = select(targets).where(targets.c.job == found.id, targets.c.node == node)
            row = (await connection.execute(query)).one_or_none()
        if row is None:
            raise UsageError(
                code="target.unknown",
                what=f"{node!r} is no target of {found.id}.",
                todo=f"`tiercast job show {found.id}` shows its targets.",
            )
        if not row.receipt:
            raise UsageError(
                code="receipt.none",
                what=f"{node!r} has given no receipt for {found.id}; it is {row.state}.",
                todo=f"`tiercast job watch {found.id}` waits for it.",
            )
        said = codec.decode(row.receipt, Receipt)
        shown: dict[str, Any] = {
            name: getattr(said, name) for name in said.__struct_fields__ if name not in {"programs", "actions"}
        }
        shown["actions"] = [{"action": one.action, "did": one.did, "seconds": one.seconds} for one in said.actions]
        shown["programs"] = [
            {name: getattr(program, name) for name in program.__struct_fields__} for program in said.programs
        ]
        return {**shown, "receipt": row.receipt, "signature": row.signature}
