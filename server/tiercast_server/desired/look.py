"""What is known of the machines of every assignment, out of the region's database.

Rules
- All assignments are looked at together, so that what is asked of ten thousand machines is asked once.
- What stands on a machine is its own last word (inventory), or the receipt of a job that it signed later; a machine
  that said neither is unknown.  Names of machines that left the region mean nobody.
- A job about the package that is open on a machine makes it busy, whoever ordered it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

import msgspec
from sqlalchemy import or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from tiercast_protocol.content.jobs import jobtypes
from tiercast_protocol.content.jobs.assigned import Rule
from tiercast_protocol.errors import UsageError
from tiercast_server.database.rollout_tables import rollouts
from tiercast_server.database.tables import inventory, jobs, packages, targets
from tiercast_server.database.tables import nodes as nodes_table
from tiercast_server.desired import rows as assignment_rows
from tiercast_server.desired.life import AssignmentLife, Ended, Machine
from tiercast_server.desired.rows import Kept
from tiercast_server.desired.rules import choice
from tiercast_server.jobs.rows import OPEN_STATES
from tiercast_server.nodes.nodes import all_nodes
from tiercast_server.packages.version_orders import orders_of
from tiercast_server.parts import parts
from tiercast_server.region import Region
from tiercast_server.rollouts.life import FINAL
from tiercast_server.targeting import Targeting

#: Receipts of jobs that closed longer ago are older than what their machines said of themselves since.
_RECENT_MS = 86_400_000
#: Codes of targets that wait for the machine's owner begin so.
_OWNER = ("owner.", "offer.")
_TYPES = ("install", jobtypes.OFFER, "remove")


class _Said(msgspec.Struct):
    packages: dict[str, str] = {}


_decoder = msgspec.json.Decoder(_Said)


@dataclass(frozen=True, slots=True)
class Open:
    """A job about a package that is open on a node."""

    job: str
    by_owner: bool


@dataclass(slots=True)
class Sight:
    """One assignment and its machines; `ended` are jobs of its own that ended since it was last told; `wrong` is why
    it can't be looked at, `stopped` why nothing more of it is rolled out.
    """

    kept: Kept
    rule: Rule
    life: AssignmentLife
    machines: dict[str, Machine] = field(default_factory=dict)
    ended: list[Ended] = field(default_factory=list)
    wrong: str = ""
    stopped: str = ""
    #: Versions in the library, and by node the assignments about the package that count for it.
    library: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The assignment's."""
        return self.kept.name


async def look(region: Region, targeting: Targeting, connection: AsyncConnection) -> dict[str, Sight]:
    """Every assignment with all its machines, by name."""
    kept = await assignment_rows.all_(connection)
    if not kept:
        return {}
    lives = await assignment_rows.lives(connection, kept)
    sights = {one.name: Sight(one, one.rule, lives[one.name]) for one in kept}
    about = sorted({one.rule.package for one in sights.values()})
    orders = await orders_of(connection, about)
    for sight in sights.values():
        sight.rule = sight.rule.ordered(orders[sight.rule.package])
    meant = await _meant(targeting, connection, sights)
    held = await _held(region, connection, about)
    busy = await _busy(connection, about)
    library = await versions_of(connection, about)
    for sight in sights.values():
        sight.library = tuple(library.get(sight.rule.package, ()))
        # beside the loop: of ten thousand machines it takes some 50 ms
        sight.machines = await asyncio.to_thread(_machines, sight, sights, meant, held, busy)
        await _rolled(connection, sight)
    await _ended(connection, sights)
    return sights


def _machines(
    sight: Sight,
    sights: Mapping[str, Sight],
    meant: Mapping[str, frozenset[str]],
    held: Mapping[str, Mapping[str, str]],
    busy: Mapping[tuple[str, str], Open],
) -> dict[str, Machine]:
    rule = sight.rule
    others = [
        one
        for name, one in sights.items()
        if name != sight.name and one.rule.package == rule.package and not one.kept.definition.paused
    ]
    chosen: dict[tuple[str, ...], str | None] = {}
    met: dict[str, bool] = {}
    found: dict[str, Machine] = {}
    for node in sorted(meant[sight.name]):
        count = tuple(one.name for one in others if node in meant[one.name])
        if count not in chosen:
            chosen[count] = choice([rule, *(sights[name].rule for name in count)], sight.library)
        said = held.get(node)
        version = None if said is None else said.get(rule.package, "")
        if version is not None and version not in met:
            met[version] = rule.met_by(version)
        open_ = busy.get((rule.package, node))
        found[node] = Machine(
            version=version,
            holds=version is not None and met[version],
            choice=chosen[count],
            busy="" if open_ is None else open_.job,
            by_owner=open_ is not None and open_.by_owner,
        )
    return found


async def _rolled(connection: AsyncConnection, sight: Sight) -> None:
    """While its rollout runs, all that are not as they are to be wait for that; once it broke, for a person."""
    name = sight.kept.rollout
    query = select(rollouts.c.state, rollouts.c.said).where(rollouts.c.id == name)
    row = (await connection.execute(query)).one_or_none() if name else None
    if row is None or row.state == "done":
        return
    if row.state in FINAL:
        sight.stopped = f"the rollout {name} ended {row.state}{f': {row.said}' if row.said else ''}"
        return
    for node, machine in sight.machines.items():
        if not machine.holds and not machine.busy:
            sight.machines[node] = replace(machine, busy=name)


async def _meant(
    targeting: Targeting, connection: AsyncConnection, sights: Mapping[str, Sight]
) -> dict[str, frozenset[str]]:
    """By assignment whom it is for; the same target is looked up once."""
    known = {node.name: node for node in await all_nodes(connection, nodes_table.c.role == "endpoint")}
    of_targets: dict[str, frozenset[str] | UsageError] = {}
    found: dict[str, frozenset[str]] = {}
    for name, sight in sights.items():
        text = sight.kept.definition.target
        if text not in of_targets:
            try:
                picked = await targeting.among(connection, sight.kept.definition.meant, "endpoint", known)
                of_targets[text] = frozenset(node.name for node in picked.nodes)
            except UsageError as error:
                of_targets[text] = error
        said = of_targets[text]
        if isinstance(said, UsageError):
            sight.wrong = said.what
        found[name] = frozenset() if isinstance(said, UsageError) else said
    return found


async def _held(region: Region, connection: AsyncConnection, about: Collection[str]) -> dict[str, dict[str, str]]:
    """By node the version of each of these packages that stands there; nodes that said nothing are not in it."""
    at: dict[str, int] = {}
    rows = list(await connection.execute(select(inventory.c.node, inventory.c.at, inventory.c.facts)))
    at.update((row[0], row[1]) for row in rows)
    found = await asyncio.to_thread(_installed, [(row[0], row[2]) for row in rows], frozenset(about))
    newest: dict[tuple[str, str], int] = {}
    query = (
        select(targets.c.node, targets.c.at, jobs.c.package, jobs.c.type, jobs.c.version)
        .join(jobs, jobs.c.id == targets.c.job)
        .where(jobs.c.package.in_(about), jobs.c.type.in_(_TYPES), targets.c.state == "done")
        .where(or_(jobs.c.closed.is_(None), jobs.c.closed > region.clock() - _RECENT_MS))
    )
    for row in await connection.execute(query):
        before = newest.get((row.node, row.package), at.get(row.node, 0))
        if row.at >= before:
            newest[row.node, row.package] = row.at
            found.setdefault(row.node, {})[row.package] = "" if row.type == "remove" else row.version
    return found


def _installed(rows: list[tuple[str, str]], about: frozenset[str]) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for node, facts in rows:
        said = _decoder.decode(facts).packages
        found[node] = {name: said[name] for name in about & said.keys()}
    return found


async def _busy(connection: AsyncConnection, about: Collection[str]) -> dict[tuple[str, str], Open]:
    query = (
        select(jobs.c.package, targets.c.node, targets.c.job, targets.c.code)
        .join(jobs, jobs.c.id == targets.c.job)
        .where(jobs.c.state == "open", jobs.c.package.in_(about), jobs.c.type.in_(_TYPES))
        .where(targets.c.state.in_(OPEN_STATES))
        .order_by(jobs.c.number)
    )
    return {
        (row.package, row.node): Open(row.job, row.code.startswith(_OWNER)) for row in await connection.execute(query)
    }


async def versions_of(connection: AsyncConnection, about: Iterable[str]) -> dict[str, list[str]]:
    """The versions of each of these packages that can be installed."""
    found: dict[str, list[str]] = {}
    query = select(packages.c.name, packages.c.version).distinct().where(packages.c.root != b"")
    for row in await connection.execute(query.where(packages.c.name.in_(sorted(about)))):
        found.setdefault(row.name, []).append(row.version)
    return found


async def _ended(connection: AsyncConnection, sights: Mapping[str, Sight]) -> None:
    """Note what became of the jobs that assignments remember as open."""
    open_ = {one.job for sight in sights.values() for one in sight.life.tries.values() if one.job}
    if not open_:
        return
    states: dict[tuple[str, str], tuple[str, str, str]] = {}
    for some in parts(targets.c.job, open_):
        query = select(targets.c.job, targets.c.node, targets.c.state, targets.c.code, targets.c.detail)
        for row in await connection.execute(query.where(*some)):
            states[row.job, row.node] = (row.state, row.code, row.detail)
    for sight in sights.values():
        for node, one in sorted(sight.life.tries.items()):
            if one.job:
                state, code, detail = states.get((one.job, node), ("gone", "", ""))
                if state not in OPEN_STATES:
                    sight.ended.append(Ended(node, state, code, detail))
