"""What can be wrong with a job before it exists.

Rules
- Everything is checked, and every mistake named, before anything is written.
- No targets is an error, never "all".
- Opposite orders for one package and target are refused while the first is open: the second
  administrator is told of the first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from tiercast_protocol.content.jobs import jobtypes, power
from tiercast_protocol.content.jobs.target import Expression, union
from tiercast_protocol.content.package import actions, phases, reboots
from tiercast_protocol.errors import UsageError
from tiercast_server.database.tables import jobs, targets
from tiercast_server.jobs.proviso_checks import check_provisos
from tiercast_server.jobs.requests import Kept
from tiercast_server.jobs.rows import OPEN_STATES
from tiercast_server.nodes.nodes import Node
from tiercast_server.targeting import Picked

DEFAULT_EXPIRY_S = 7 * 86_400
#: A job for more nodes wants their number, unless the settings say otherwise.
CONFIRM_ABOVE = 100
MAX_EXPIRY_S = 366 * 86_400
_MAX_OPTIONS = 64
_MAX_NOTE = 1_000


@dataclass(frozen=True, slots=True)
class Request:
    """What an administrator asked for; `expires_s` in seconds from now, `kept` what is kept of it.

    `target` is an expression, beside names; `follow`: whoever joins its groups later gets the job too; `confirm` is the
    number of targets that he knows of, 0 where he gave none; `anyway`: also where the way may take too long.
    `role` is that of who asks (the region itself may all); `test`: it is the test of a package, on one machine.
    """

    type: str
    package: str
    by: str
    targets: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    note: str = ""
    expires_s: int = DEFAULT_EXPIRY_S
    options: dict[str, Any] = field(default_factory=dict)
    kept: Kept = field(default_factory=Kept)
    target: str = ""
    follow: bool = True
    dry_run: bool = False
    confirm: int = 0
    anyway: bool = False
    role: str = "admin"
    test: bool = False

    @property
    def meant(self) -> Expression | None:
        """Who is meant, all in one; None where nobody was named.  Raises UsageError (target.syntax)."""
        return union(self.targets, self.groups, self.target)


def checked(request: Request) -> dict[str, str | int | bool]:
    """The request's options, once all that needs no database was looked at."""
    kind = jobtypes.of(request.type)
    if kind.package != bool(request.package):
        needed = f"A job to {kind.name} is about a package, and none was named."
        needless = f"A job to {kind.name} is about no package; {request.package[:60]!r} was named."
        raise UsageError(
            code="package.missing" if kind.package else "package.needless",
            what=needed if kind.package else needless,
            todo=f"See `tiercast job {kind.name} --help`. Nothing was done.",
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
    actions.check_options(request.type, request.options)
    check_provisos(request.type, request.options)
    phases.check(request.type, request.options)
    reboots.check(request.type, request.options)
    if power.read_power(request.options).wake and kind.role != "endpoint":
        raise UsageError("power.invalid", f"{kind.name} is for {kind.role}s, and those are awake.", todo="No --wake.")
    return dict(request.options)


def check_targets(request: Request, picked: Picked) -> None:
    """Refuse an empty set, and targets that the type is not for.

    Raises:
        UsageError: job.empty or target.role.
    """
    found = picked.nodes
    if not found:
        empty = f": nobody is in {', '.join(f'group {group}' for group in request.groups)}" if request.groups else ""
        if picked.unknown:
            empty += f"; not known: {', '.join(f'{fact} of {n}' for fact, n in picked.unknown.most_common(10))}"
        if request.target and not picked.unknown:
            empty += f": nobody is meant by {request.target[:200]!r}"
        raise UsageError(
            code="job.empty",
            what=f"The job has no targets{empty}.",
            todo=(
                "`tiercast inventory list` shows what machines said of themselves. Nothing was done."
                if request.target
                else "Name nodes or a group with members; no targets never means all."
            ),
        )
    if request.test and len(found) != 1:
        raise UsageError("test.job", f"A test is on one machine, not on {len(found)}.", todo="Name one: --on NODE.")
    role = jobtypes.of(request.type).role
    wrong = [node.name for node in found if node.role != role]
    if wrong:
        raise UsageError(
            code="target.role",
            what=f"{request.type} is for {role}s; these are not: {', '.join(wrong[:20])}.",
            todo=f"Name {role}s only. Nothing was done.",
        )


def check_count(request: Request, count: int, confirm_above: int) -> None:
    """Refuse a job for more nodes than usual, unless their exact number was given; a wrong number always.

    Raises:
        UsageError: confirm.wrong or confirm.missing.
    """
    if request.confirm not in {0, count}:
        raise UsageError(
            code="confirm.wrong",
            what=f"{request.confirm} targets were confirmed, and it would be {count}.",
            todo="Look again with --dry-run. Nothing was done.",
        )
    if count > confirm_above and not request.confirm:
        raise UsageError(
            code="confirm.missing",
            what=f"The job would be for {count} nodes; more than {confirm_above} must be confirmed.",
            todo=f"Look who they are with --dry-run, then add --confirm={count}. Nothing was done.",
        )


async def check_conflict(connection: AsyncConnection, type_: str, package: str, found: Sequence[Node]) -> None:
    """Refuse a job whose opposite is open for the same package and one of these targets.

    Raises:
        UsageError: job.conflict, naming the first such job.
    """
    opposite = jobtypes.of(type_).opposite
    if not opposite:
        return
    query = (
        select(jobs.c.id, jobs.c.created_by, targets.c.node)
        .join(targets, targets.c.job == jobs.c.id)
        .where(
            jobs.c.state == "open",
            jobs.c.type == opposite,
            jobs.c.package == package,
            targets.c.state.in_(OPEN_STATES),
        )
        .order_by(jobs.c.number)
    )
    names = {node.name for node in found}
    both = [row for row in await connection.execute(query) if row.node in names]
    if both:
        first = both[0]
        more = len([row for row in both if row.id == first.id]) - 1
        others = len({row.id for row in both}) - 1
        raise UsageError(
            code="job.conflict",
            what=f"The job {first.id} of {first.created_by} is to {opposite} {package} on {first.node}"
            f"{f' and {more} more of these targets' if more else ''}"
            f"{f', and so are {others} more jobs' if others > 1 else ', and so is one more job' if others else ''}.",
            todo=f"Wait for it, or `tiercast job cancel {first.id}` and order again. Nothing was done.",
        )
