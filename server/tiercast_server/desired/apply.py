"""Makes the region's definitions what a document says: groups, windows, assignments (docs/desired-state.md).

Rules
- One transaction: with one mistake nothing is changed.  A dry run is the same transaction, undone at its end, so that
  it shows the very thing.
- What the document does not name stays, unless `prune` is said.
- A change is written down with everything as it stood after it, so that it can be applied again.
- Two assignments that contradict each other for a machine are refused, both named.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from tiercast_protocol.content.jobs import times
from tiercast_protocol.errors import UsageError
from tiercast_protocol.transfer import calendar
from tiercast_server import group_windows
from tiercast_server.desired import groups as desired_groups
from tiercast_server.desired import rows as assignment_rows
from tiercast_server.desired.assignments import Assignments
from tiercast_server.desired.changes import Changed, Mistakes, differing
from tiercast_server.desired.checks import AssignmentChecks
from tiercast_server.desired.document import Assignment, Document, Window, plain
from tiercast_server.desired.groups import GroupChanges
from tiercast_server.desired.life import DRIFTING
from tiercast_server.desired.look import Sight, look
from tiercast_server.desired.rules import contradictions
from tiercast_server.desired.view import summary
from tiercast_server.jobs import rows as job_rows
from tiercast_server.jobs.life import CancelAsked
from tiercast_server.nodes.followers import follow
from tiercast_server.nodes.nodes import check_name
from tiercast_server.packages.cabinet_rights import Caller
from tiercast_server.site_regroup import regroup


@dataclass(frozen=True, slots=True)
class Asked:
    """How a document is to be applied: `how` stands in the history, `lines` are those of the file by key.

    `role` is that of who asks.  Of what it does not name, assignments in `remove` go, and with `prune` everything.
    """

    by: str
    how: str = "apply"
    prune: bool = False
    remove: tuple[str, ...] = ()
    dry_run: bool = False
    confirm: int = 0
    lines: Mapping[str, int] = field(default_factory=dict)
    role: str = "admin"

    @property
    def caller(self) -> Caller:
        """Who asks, as cabinets judge it."""
        return Caller(self.by, self.role)


class _UndoneError(Exception):
    """Ends a dry run, with what it found: what was written is undone."""

    def __init__(self, found: dict[str, Any]) -> None:
        super().__init__()
        self.found = found


class Desired:
    """Applies and exports the desired state."""

    def __init__(self, assignments: Assignments) -> None:
        self._assignments = assignments
        self._region, self._jobs = assignments.region, assignments.jobs

    async def export(self) -> Document:
        """All definitions of the region."""
        async with self._region.db.read() as connection:
            return await exported(connection)

    async def again(self, number: int, asked: Asked) -> dict[str, Any]:
        """Apply all definitions as they stood after the change `number`; others are removed.

        Raises:
            UsageError: change.unknown, and as `apply`.
        """
        from tiercast_server.desired.document import read  # noqa: PLC0415 - what stands in rows is seldom read

        async with self._region.db.read() as connection:
            document = read(await assignment_rows.document_of(connection, number))
        return await self.apply(document, asked)

    async def apply(self, document: Document, asked: Asked) -> dict[str, Any]:
        """Make it so: {number, changes, machines, warnings, targets, confirm}.

        Raises:
            UsageError: desired.invalid with all mistakes, confirm.missing or confirm.wrong.
        """
        async with self._jobs.targeting.lock:
            try:
                async with self._region.db.write() as connection:
                    found, touched = await self._apply(connection, document, asked)
            except _UndoneError as undone:
                return undone.found
        if found["changes"]:
            self._jobs.told(*touched)
            self._assignments.changed()
        return found

    async def _apply(
        self, connection: AsyncConnection, document: Document, asked: Asked
    ) -> tuple[dict[str, Any], list[str]]:
        now, wrong, targeting = self._region.clock(), Mistakes(asked.lines), self._jobs.targeting
        groups = GroupChanges(connection, now, wrong)
        changes = await groups.make(document.groups, prune=asked.prune)
        changes += await self._windows(connection, document.windows, wrong, prune=asked.prune)
        there = (await desired_groups.held(connection)).keys() | (await assignment_rows.windows(connection)).keys()
        named = {one.name for one in document.groups} | {one.name for one in document.windows}
        old = {one.name: one.definition for one in await assignment_rows.all_(connection)}
        fresh = [one for one in document.assignments if one.name not in old or old[one.name].table != one.table]
        checks = AssignmentChecks(connection, targeting, now, wrong, frozenset(named - there), asked.caller)
        named = {one.name for one in document.assignments}
        gone = sorted(name for name in old if name not in named and (asked.prune or name in asked.remove))
        for one in fresh:
            await checks.check(one)
        for one in [*(old[name] for name in gone), *(old[one.name] for one in fresh if one.name in old)]:
            await checks.check_right(one)
        wrong.refuse()
        for one in fresh:
            before = old.get(one.name)
            await assignment_rows.put(connection, one, asked.by, now, new=before is None)
            said = differing(before.table, one.table) if before else ()
            changes.append(Changed("assignment", one.name, "changed" if before else "added", said))
        changes += [Changed("assignment", name, "removed") for name in gone]
        if any(one.kind == "group" for one in changes):
            await group_windows.settle(self._region, connection)
            await regroup(self._region, connection, [one.name for one in changes if one.kind == "group"])
        touched = await follow(self._region, targeting, connection, groups.joined)
        touched += await self._leave(connection, fresh, old, gone)
        sights = await look(self._region, targeting, connection)
        new = {one.name for one in fresh}
        # who changes a group answers for what all assignments make of it
        _check_sights(sights, sights.keys() if any(one.kind == "group" for one in changes) else new, wrong)
        wrong.refuse()
        drifting = _drifting(sights, new)
        if not asked.dry_run:
            _check_count(asked.confirm, drifting, self._jobs.confirm_above)
        number = 0
        shown = [change.shown() for change in changes]
        if changes and not asked.dry_run:
            after = plain(await exported(connection))
            number = await assignment_rows.record(connection, asked.by, now, asked.how, shown, after)
        empty = [sight.name for sight in sights.values() if not sight.machines and not sight.wrong]
        found: dict[str, Any] = {
            "number": number,
            "changes": shown,
            "machines": [summary(sight) for sight in sights.values()],
            "warnings": [f"The assignment {name} is for nobody yet." for name in empty],
            "targets": drifting,
            "confirm": drifting > self._jobs.confirm_above,
        }
        if asked.dry_run:
            raise _UndoneError(found)
        return found, touched

    async def _windows(
        self, connection: AsyncConnection, wanted: list[Window], wrong: Mistakes, *, prune: bool
    ) -> list[Changed]:
        held = await assignment_rows.windows(connection)
        found: list[Changed] = []
        for one in wanted:
            key = f"window.{one.name}"
            sound = wrong.check(key, check_name, "window", one.name)
            sound &= wrong.check(f"{key}.open", _check_window, one.open)
            if sound and held.get(one.name) != one.open:
                before = held.get(one.name)
                differs = () if before is None else differing({"open": before}, {"open": one.open})
                found.append(Changed("window", one.name, "added" if before is None else "changed", differs))
                await assignment_rows.set_window(connection, one.name, one.open)
        for name in sorted(held.keys() - {one.name for one in wanted}) if prune else ():
            found.append(Changed("window", name, "removed"))
            await assignment_rows.set_window(connection, name, None)
        return found

    async def _leave(
        self, connection: AsyncConnection, fresh: list[Assignment], old: Mapping[str, Assignment], gone: list[str]
    ) -> list[str]:
        """Forget what was tried for assignments that are gone or want something else now, and cancel their jobs."""
        other = [
            one.name
            for one in fresh
            if (before := old.get(one.name)) is not None
            and (before.has, before.lacks, before.target) != (one.has, one.lacks, one.target)
        ]
        kept = [one for one in await assignment_rows.all_(connection) if one.name in {*gone, *other}]
        touched: list[str] = []
        for name, life in (await assignment_rows.lives(connection, kept)).items():
            for job in sorted({one.job for one in life.tries.values() if one.job}):
                found = await job_rows.find(connection, job)
                if found is not None and found.state == "open" and not found.cancelling:
                    await job_rows.advance(self._region, connection, found, CancelAsked())
                    touched.append(job)
            await assignment_rows.keep_tries(connection, name, life.tries, {})
            rollout = next(one.rollout for one in kept if one.name == name)
            if (cancelled := await self._assignments.rollouts.cancel(connection, rollout)) is not None:
                touched += [rollout, *cancelled.touched]
            if name in gone:
                await assignment_rows.forget(connection, name)
            else:
                await assignment_rows.mark(connection, name, rollout="", rolled="")
        return touched


async def exported(connection: AsyncConnection) -> Document:
    """All definitions as they stand."""
    return Document(
        groups=list((await desired_groups.held(connection)).values()),
        windows=[Window(name, text) for name, text in (await assignment_rows.windows(connection)).items()],
        assignments=[one.definition for one in await assignment_rows.all_(connection)],
    )


def _check_window(text: str) -> None:
    if not text.strip() or not calendar.parse(text):
        raise UsageError("window.invalid", "it has no opening")
    times.read({times.INSTALL_WINDOW: text})


def _check_sights(sights: Mapping[str, Sight], names: Collection[str], wrong: Mistakes) -> None:
    """Note which of `names` can't be acted on, or contradict another."""
    for sight in sights.values():
        if sight.wrong and sight.name in names:
            wrong.add(f"assignment.{sight.name}", sight.wrong.rstrip("."))
    active = {name: sight for name, sight in sights.items() if not sight.kept.definition.paused}
    for package in sorted({sight.rule.package for sight in active.values()}):
        mine = {name: sight for name, sight in active.items() if sight.rule.package == package}
        of_nodes: dict[str, set[str]] = {}
        for name, sight in mine.items():
            for node in sight.machines:
                of_nodes.setdefault(node, set()).add(name)
        rules = {name: sight.rule for name, sight in mine.items()}
        frozen = {node: frozenset(names) for node, names in of_nodes.items()}
        library = next(iter(mine.values())).library
        for one, other, node in contradictions(rules, frozen, library):
            if not {one.name, other.name} & set(names):
                continue
            wrong.add(
                f"assignment.{one.name}",
                f"assignment.contradiction: it says {one}, and {other.name} says {other}; no version of {package} does"
                f" for both, and both are for {node}",
            )


def _drifting(sights: Mapping[str, Sight], names: set[str]) -> int:
    """Machines for which something would be ordered now because of these assignments."""
    found: set[str] = set()
    for name, sight in sights.items():
        if name in names and not sight.kept.definition.paused:
            found |= {node for node, one in sight.machines.items() if sight.life.state_of(node, one) in DRIFTING}
    return len(found)


def _check_count(confirm: int, count: int, above: int) -> None:
    if confirm not in {0, count}:
        raise UsageError(
            code="confirm.wrong",
            what=f"{confirm} machines were confirmed, and it would be {count}.",
            todo="Look again with --dry-run. Nothing was changed.",
        )
    if count > above and not confirm:
        raise UsageError(
            code="confirm.missing",
            what=f"Something would be ordered for {count} machines; more than {above} must be confirmed.",
            todo=f"Look who they are with --dry-run, then add --confirm={count}. Nothing was changed.",
        )
