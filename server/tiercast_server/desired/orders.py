"""The job that an assignment has made, inside the transaction that remembers it.

Rules
- It is made as every job is (`Jobs.place`): same checks, same conditions, and what its package needs is ordered first.
- Windows that have names are those of now; times that are over are left out, as of a rerun.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy.ext.asyncio import AsyncConnection

from tiercast_protocol.content.jobs.times import INSTALL_WINDOW
from tiercast_protocol.errors import UsageError
from tiercast_server.desired import rows as assignment_rows
from tiercast_server.desired.document import Assignment
from tiercast_server.desired.life import Order
from tiercast_server.desired.rows import Kept
from tiercast_server.jobs.checks import Request
from tiercast_server.jobs.jobs import Jobs
from tiercast_server.jobs.requests import Kept as Asked
from tiercast_server.jobs.reruns import again
from tiercast_server.nodes.nodes import resolve
from tiercast_server.packages import cabinet_rights, dependencies
from tiercast_server.targeting import Picked

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


async def order(jobs: Jobs, connection: AsyncConnection, kept: Kept, wanted: Order) -> tuple[str, list[str]]:
    """Make the job, and before it those that bring what its package needs; its id, and all of them.

    Raises:
        UsageError: package.*, dependency.*, job.conflict, job.assigned, transfer.*, times.*, window.*, condition.*; the
            caller undoes what was written by then.
    """
    one = kept.definition
    kind = "install" if wanted.version else "remove"
    package = f"{kept.rule.package}={wanted.version}" if wanted.version else kept.rule.package
    options, _ = again(options_of(one, await assignment_rows.windows(connection)), jobs.region.clock())
    note = f"assignment {one.name}{f': {one.note}' if one.note else ''}"
    args = {
        "type": kind,
        "package": package,
        "targets": list(wanted.nodes),
        "note": note,
        "expires_s": one.expires_s,
        "options": options,
    }
    request = Request(
        type=kind,
        package=package,
        by=kept.created_by,
        targets=wanted.nodes,
        note=note,
        expires_s=one.expires_s,
        options=options,
        kept=Asked(args, folder=f"desired/{one.name}"),
        follow=False,
        role=cabinet_rights.LATER,
    )
    needed = await dependencies.needs(connection, request, wanted.nodes)
    asked = [(dependencies.request_for(need, request, package), need.nodes) for need in needed]
    made = [await _place(jobs, connection, one, nodes) for one, nodes in [*asked, (request, wanted.nodes)]]
    return made[-1], made


async def _place(jobs: Jobs, connection: AsyncConnection, request: Request, names: Sequence[str]) -> str:
    picked = Picked(await resolve(connection, names, ()))
    confirmed = replace(request, confirm=len(picked.nodes))  # that was asked when the assignment was applied
    made = await jobs.place(connection, confirmed, dict(request.options), picked, ())
    return str(made["job"])
