"""The job that an assignment has made, inside the transaction that remembers it.

Rules
- It is checked like any job before anything of it is written; what is wrong with it is a UsageError.
- Windows that have names are those of now; times that are over are left out, as of a rerun.
"""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncConnection

from tiercast_protocol.content import jobtypes
from tiercast_protocol.content.times import INSTALL_WINDOW
from tiercast_protocol.errors import UsageError
from tiercast_server import assignment_rows, job_rows, requests
from tiercast_server.assignment_life import Order
from tiercast_server.assignment_rows import Kept
from tiercast_server.desired_document import Assignment
from tiercast_server.job_checks import check_conflict
from tiercast_server.job_rows import Job
from tiercast_server.nodes import resolve
from tiercast_server.packages import find_sealed
from tiercast_server.region import Region
from tiercast_server.requests import Kept as Asked
from tiercast_server.reruns import again
from tiercast_server.time_checks import Plan, check_times
from tiercast_server.transfer_checks import check_possible

Options = dict[str, str | int | bool]


def options_of(one: Assignment, windows: dict[str, str]) -> Options:
    """The options of its jobs.

    Raises:
        UsageError: window.unknown.
    """
    if unknown := [name for name in one.window if name not in windows]:
        raise UsageError(
            code="window.unknown",
            what=f"No window is called {', '.join(map(repr, unknown))}.",
            todo='Write it into the file: [window.NAME] with open = "mon-fri 22:00-06:00". Nothing was done.',
        )
    if not one.window:
        return dict(one.options)
    return {**one.options, INSTALL_WINDOW: "; ".join(windows[name] for name in one.window)}


async def order(region: Region, connection: AsyncConnection, kept: Kept, wanted: Order) -> str:
    """Make the job; its id.

    Raises:
        UsageError: package.*, job.conflict, transfer.*, times.*, window.*; nothing was written then.
    """
    one, now = kept.definition, region.clock()
    kind = jobtypes.of("install" if wanted.version else "remove")
    name = kept.rule.package
    reference = f"{name}={wanted.version}" if wanted.version else name
    package = await find_sealed(connection, reference)
    found = await resolve(connection, wanted.nodes, ())
    await check_conflict(connection, kind.name, name, found)
    options, _ = again(options_of(one, await assignment_rows.windows(connection)), now)
    size = package.stored_bytes if kind.content else 0
    if size:
        check_possible(options, size=size, now=now / 1000, left=one.expires_s)
    expires = now + one.expires_s * 1000
    check_times(Plan(kind.name, options, now / 1000, expires / 1000, size))
    if not wanted.version:
        options["any_version"] = True
    note = f"assignment {one.name}{f': {one.note}' if one.note else ''}"
    args = {
        "type": kind.name,
        "package": reference,
        "targets": list(wanted.nodes),
        "note": note,
        "expires_s": one.expires_s,
        "options": options,
    }
    asked = Asked(args, folder=f"desired/{one.name}")
    id_, number = await requests.identity(connection, asked)
    job = Job(
        id=id_,
        number=number,
        type=kind.name,
        revision=0,
        state="open",
        cancelling=False,
        package=package.name,
        version=package.version,
        package_revision=package.revision,
        root=package.root,
        note=note,
        created_by=kept.created_by,
        options=options,
        created=now,
        expires=expires,
        closed=None,
    )
    await job_rows.insert_job(connection, job, found)
    await requests.keep(connection, (id_, number), asked, kept.created_by, now, draft=False)
    await job_rows.order(region, connection, job, "same", ())
    return id_
