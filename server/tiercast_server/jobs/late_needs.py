"""What newcomers lack for a job that they join: ordered to them beside it (docs/packages.md, "Dependencies").

Rules
- As for the first targets, but in the transaction that adds the newcomers: jobs of their own, on the terms and with
  the expiry of the job that they join.
- What can't be satisfied for newcomers keeps none of them out: they become targets, wait, and say for what.
"""

from __future__ import annotations

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from tiercast_protocol.content.jobs import provisos
from tiercast_protocol.errors import UsageError
from tiercast_server.jobs import requests
from tiercast_server.jobs import rows as job_rows
from tiercast_server.jobs.checks import Request, check_conflict
from tiercast_server.jobs.proviso_checks import INSTALLING, completed
from tiercast_server.jobs.requests import Kept
from tiercast_server.jobs.rows import Job
from tiercast_server.nodes.nodes import Node
from tiercast_server.packages import dependencies, version_orders
from tiercast_server.packages.closure import Need
from tiercast_server.packages.packages import find_sealed
from tiercast_server.region import Region

_log = structlog.get_logger(__name__)


async def order_needs(region: Region, connection: AsyncConnection, job: Job, fresh: list[Node]) -> list[str]:
    """Order what the newcomers of `job` lack for it; the jobs that bring it."""
    if job.type not in INSTALLING:
        return []
    reference = f"{job.package}={job.version}/{job.package_revision}"
    asked = Request(type=job.type, package=reference, by=job.created_by)
    try:
        found = await dependencies.needs(connection, asked, [node.name for node in fresh])
        made = [await _write(region, connection, job, need, fresh) for need in found]
    except UsageError as error:
        _log.warning("newcomers lack what a job needs", job=job.id, code=error.code, reason=error.what)
        return []
    return made


async def _write(region: Region, connection: AsyncConnection, job: Job, need: Need, fresh: list[Node]) -> str:
    package = await find_sealed(connection, f"{need.package.reference}/{need.package.revision}")
    nodes = [node for node in fresh if node.name in need.nodes]
    await check_conflict(connection, "install", package.name, nodes)
    now = region.clock()
    own = {word: value for word, value in job.options.items() if word not in provisos.PACKAGE_WORDS}
    if job.type != "install":
        own[provisos.WITH_OFFER] = job.id
    options = completed("install", own, package.definition, now, job.expires)
    options = await version_orders.in_options(connection, options)
    note = f"needed by {job.package}: {job.id}"
    args = {
        "type": "install",
        "package": need.package.reference,
        "targets": list(need.nodes),
        "note": note,
        "expires_s": max(1, (job.expires - now) // 1000),
        "options": options,
    }
    kept = Kept(args)
    id_, number = await requests.identity(connection, kept)
    made = Job(
        id=id_,
        number=number,
        type="install",
        revision=0,
        state="open",
        cancelling=False,
        package=package.name,
        version=package.version,
        package_revision=package.revision,
        root=package.root,
        note=note,
        created_by=job.created_by,
        options=options,
        created=now,
        expires=job.expires,
        closed=None,
    )
    await job_rows.insert_job(connection, made, nodes)
    await requests.keep(connection, (id_, number), kept, job.created_by, now, draft=False)
    await job_rows.order(region, connection, made, "same", ())
    return id_
