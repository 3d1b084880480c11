"""The rollout that brings an assignment's version out in waves, begun inside the transaction that remembers it.

Rules
- Each version goes out in waves once; when that rollout is done, stragglers and newcomers get jobs.
- `rest` is the last wave, so that everybody is in one; where there are too few machines for the waves, they are one.
"""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncConnection

from tiercast_protocol.errors import UsageError
from tiercast_server import group_windows
from tiercast_server.desired import rows as assignment_rows
from tiercast_server.desired.document import Waves
from tiercast_server.desired.life import Order
from tiercast_server.desired.orders import options_of
from tiercast_server.desired.rows import Kept
from tiercast_server.jobs.checks import check_conflict
from tiercast_server.jobs.reruns import again
from tiercast_server.jobs.time_checks import Plan, check_times
from tiercast_server.nodes.nodes import resolve
from tiercast_server.packages.packages import find_sealed
from tiercast_server.region import Region
from tiercast_server.rollouts import rows as rollout_rows
from tiercast_server.rollouts.life import Rules
from tiercast_server.rollouts.rollouts import Outcome, Rollouts, name_of
from tiercast_server.rollouts.rows import Member, Rollout
from tiercast_server.rollouts.verbs import rules
from tiercast_server.rollouts.waves import Wave, parse, shared
from tiercast_server.targeting import Targeting

_TOO_FEW = frozenset({"wave.number", "wave.empty"})


def check_waves(said: Waves) -> None:
    """Refuse waves and rules that can't be.

    Raises:
        UsageError: wave.*, rollout.*, target.syntax.
    """
    waves = parse(said.waves)
    if not waves[-1].rest:
        raise UsageError("wave.rest", "The last wave of an assignment is `rest`.", todo='Write "rest" at the end.')
    _rules(said)


def is_rolled_out(kept: Kept, version: str) -> bool:
    """Whether this version goes out in waves now."""
    return bool(version) and kept.definition.rollout is not None and kept.rolled != version


async def roll_out(
    region: Region,
    rollouts: Rollouts,
    targeting: Targeting,
    connection: AsyncConnection,
    kept: Kept,
    wanted: Order,
) -> tuple[str, Outcome]:
    """Begin it; its id, and its first job.

    Raises:
        UsageError: package.*, job.conflict, rollout.conflict, times.*, window.*, target.*; nothing was written then.
    """
    one, now = kept.definition, region.clock()
    said = one.rollout
    if said is None:
        raise RuntimeError(f"{one.name} has no rollout")
    number = await rollout_rows.next_number(connection)
    id_ = name_of(region.name, number)
    texts, found = await _waves(targeting, connection, said, wanted, id_)
    package = await find_sealed(connection, f"{kept.rule.package}={wanted.version}")
    await check_conflict(connection, "install", package.name, await resolve(connection, wanted.nodes, ()))
    await rollout_rows.check_apart(connection, package.name, wanted.nodes)
    options, _ = again(options_of(one, await assignment_rows.windows(connection)), now)
    expires = now + one.expires_s * 1000
    check_times(Plan("install", options, now / 1000, expires / 1000, package.stored_bytes))
    span = (now / 1000, expires / 1000)
    await group_windows.check_targets(connection, "install", options, wanted.nodes, span)
    rollout = Rollout(
        id=id_,
        number=number,
        undoes="",
        state="running",
        said="",
        rules=_rules(said),
        texts=tuple(texts),
        begun=0,
        reached=0,
        word=False,
        package=package.name,
        version=package.version,
        package_revision=package.revision,
        target=one.target,
        options=options,
        note=f"assignment {one.name}{f': {one.note}' if one.note else ''}",
        created_by=kept.created_by,
        created=now,
        expires=expires,
        ended=None,
    )
    members = [
        Member(name, wave, package.version, package.revision) for wave, names in enumerate(found) for name in names
    ]
    return id_, await rollouts.begin(connection, rollout, members)


async def _waves(
    targeting: Targeting, connection: AsyncConnection, said: Waves, wanted: Order, id_: str
) -> tuple[list[str], list[list[str]]]:
    """The waves as texts, and who is in each."""
    waves = parse(said.waves)
    names = set(wanted.nodes)
    meant = [await _meant(targeting, connection, wave, names) for wave in waves]
    try:
        return [wave.text for wave in waves], shared(waves, names, meant, id_)
    except UsageError as error:
        if error.code not in _TOO_FEW:
            raise
        return ["rest"], [sorted(names)]


async def _meant(targeting: Targeting, connection: AsyncConnection, wave: Wave, names: set[str]) -> set[str] | None:
    if wave.who is None:
        return None
    return {node.name for node in (await targeting.pick(connection, wave.who, "endpoint", names)).nodes}


def _rules(said: Waves) -> Rules:
    return rules(
        go_on=said.go_on,
        soak=said.soak_s,
        by_hand=said.by_hand,
        stop_at=said.stop_at,
        stop_at_site=said.stop_at_site,
    )
