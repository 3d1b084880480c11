"""What can be wrong with one assignment: all of it is noted before anything is written.

Rules
- Unknown packages, versions that nobody registered, unknown groups and nodes, options that can't work are mistakes.
- So is a package in a cabinet that whoever asks may not read: in what he writes, and in what he changes or takes back.
- That nobody is meant is none: machines may join later.
"""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from tiercast_protocol.content.jobs.assigned import Rule
from tiercast_protocol.content.jobs.target import names_of
from tiercast_protocol.errors import UsageError
from tiercast_server import group_windows
from tiercast_server.database.tables import packages
from tiercast_server.desired import rows as assignment_rows
from tiercast_server.desired.changes import Mistakes
from tiercast_server.desired.document import Assignment
from tiercast_server.desired.look import versions_of
from tiercast_server.desired.orders import options_of
from tiercast_server.desired.rollouts import check_waves
from tiercast_server.desired.rules import choice
from tiercast_server.jobs.checks import Request, checked
from tiercast_server.jobs.reruns import again
from tiercast_server.jobs.time_checks import Plan, check_times
from tiercast_server.jobs.transfer_checks import check_possible
from tiercast_server.nodes.nearness import suggestion
from tiercast_server.nodes.nodes import Node, all_nodes, check_name
from tiercast_server.packages import cabinet_rights
from tiercast_server.packages.cabinet_rights import REGION, Caller
from tiercast_server.packages.version_orders import orders_of
from tiercast_server.targeting import Targeting


class AssignmentChecks:
    """Looks at assignments in one transaction, in which the windows and groups that they name were made.

    Args:
        connection: of that transaction.
        targeting: looks targets up; the same target once.
        now: milliseconds since 1970.
        wrong: takes what is wrong.
        unmade: groups and windows that are wrong themselves: that was said, and nothing is said of who names them.
        caller: who asks.
    """

    def __init__(
        self,
        connection: AsyncConnection,
        targeting: Targeting,
        now: int,
        wrong: Mistakes,
        unmade: frozenset[str] = frozenset(),
        caller: Caller = REGION,
    ) -> None:
        self._connection, self._targeting, self._now = connection, targeting, now
        self._wrong, self._unmade, self._caller = wrong, unmade, caller
        self._known: dict[str, Node] = {}
        self._said: dict[str, str] = {}
        self._picked: dict[str, list[str]] = {}

    async def check(self, one: Assignment) -> None:
        """Note what is wrong with `one`."""
        key, wrong = f"assignment.{one.name}", self._wrong
        wrong.check(key, check_name, "assignment", one.name)
        if bool(one.has) == bool(one.lacks):
            wrong.add(key, "it says both `has` and `lacks`" if one.has else "it says neither `has` nor `lacks`")
            return
        word = "has" if one.has else "lacks"
        try:
            rule = one.rule
        except UsageError as error:
            wrong.add(f"{key}.{word}", error.what)
            return
        if one.rollout is not None:
            wrong.check(f"{key}.rollout", check_waves, one.rollout)
        await _package(self._connection, rule, f"{key}.{word}", wrong)
        await self.check_right(one)
        if one.target not in self._said:
            self._said[one.target] = await self._target(one)
        if said := self._said[one.target]:
            wrong.add(key, said)
        windows = dict.fromkeys(self._unmade, "daily 00:00-24:00") | await assignment_rows.windows(self._connection)
        wrong.check(key, _options, one, self._now, windows)
        names, start = self._picked.get(one.target, []), self._now / 1000
        try:
            options, _ = again(options_of(one, windows), self._now)
            kind = "install" if one.has else "remove"
            span = (start, start + one.expires_s)
            await group_windows.check_targets(self._connection, kind, options, names, span)
        except UsageError as error:
            if error.code == "window.apart":  # all else was said above
                wrong.add(key, f"{error.code}: {error.what}")

    async def check_right(self, one: Assignment) -> None:
        """Note that `one` is about what the caller may not read."""
        rule, said = one.rule, f"assignment.{one.name}.{'has' if one.has else 'lacks'}"
        query = select(packages.c.version, packages.c.cabinet).where(packages.c.name == rule.package)
        rows = (await self._connection.execute(query)).all()
        order = (await orders_of(self._connection, [rule.package]))[rule.package]
        best = choice([rule.ordered(order)], [row.version for row in rows])
        meant = {row.cabinet for row in rows if row.version == best} or {row.cabinet for row in rows}
        for cabinet in sorted(meant):
            try:
                await cabinet_rights.check(self._connection, cabinet, self._caller, "read")
            except UsageError as error:
                what = f"{error.code}: {error.what.rstrip('.')}"
                if (said, what) not in self._wrong.found:
                    self._wrong.add(said, what)

    async def _target(self, one: Assignment) -> str:
        """What is wrong with whom it is for; "" for nothing."""
        if not self._known:
            self._known = {node.name: node for node in await all_nodes(self._connection)}
        try:
            if self._unmade & names_of(one.meant, "group"):
                return ""
            picked = await self._targeting.pick_of(self._connection, one.meant, "endpoint", self._known)
        except UsageError as error:
            return f"{error.code}: {error.what.rstrip('.')}"
        self._picked[one.target] = [node.name for node in picked.nodes]
        others = [node.name for node in picked.nodes if node.role != "endpoint"]
        return f"target.role: an assignment is for endpoints; these are not: {', '.join(others[:10])}" if others else ""


async def _package(connection: AsyncConnection, rule: Rule, key: str, wrong: Mistakes) -> None:
    library = (await versions_of(connection, [rule.package])).get(rule.package, [])
    rule = rule.ordered((await orders_of(connection, [rule.package]))[rule.package])
    if not library:
        known = (await connection.execute(select(packages.c.name).distinct())).scalars()
        near = suggestion(rule.package, known).strip()
        wrong.add(key, f"package.unknown: no package is called {rule.package!r}{f'; {near}' if near else ''}")
    elif not rule.lacks and choice([rule], library) is None:
        there = ", ".join(sorted(library))
        wrong.add(key, f"package.unknown: no version of {rule.package} is {rule.text}; there are: {there}")


def _options(one: Assignment, now: int, windows: dict[str, str]) -> None:
    kind = "install" if one.has else "remove"
    asked = Request(type=kind, package="any", by="", note=one.note, expires_s=one.expires_s, options=one.options)
    checked(asked)
    options, _ = again(options_of(one, windows), now)
    if one.has:
        check_possible(options, size=0, now=now / 1000, left=one.expires_s)
    check_times(Plan(kind, options, now / 1000, now / 1000 + one.expires_s))
