"""Patches as rows: which are wanted, which are made, and what came of each.

Rules
- A pair of packages has at most one row: `waiting`, `making`, then `made`, `useless` (chunks are as cheap) or `failed`.
- Wanted are patches from what receipts say is installed, and from the version before; what is ordered goes first.
- A patch's chunks are the library's as long as its result is: they stand among the result's chunks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from tiercast_protocol.wire.messages import PatchOffer
from tiercast_server.database.tables import jobs, package_chunks, packages, patches, targets
from tiercast_server.jobs.proviso_checks import INSTALLING

#: Urgency: a new version, an open order, an administrator.
REGISTERED, ORDERED, BY_HAND = 0, 1, 2
#: Bases of one version: the most common ones of what is installed.
MOST_BASES = 4
_ROWS = 500


@dataclass(frozen=True, slots=True)
class Wanted:
    """One patch to make, `id` its row."""

    id: int
    base: bytes
    result: bytes


async def bases_for(connection: AsyncConnection, result: bytes, nodes: Collection[str] | None = None) -> list[bytes]:
    """Roots that a patch to `result` should start from, the most common first.

    With `nodes` only what those have installed; else that of all nodes, and the version before.
    """
    name = (await connection.execute(select(packages.c.name).where(packages.c.root == result))).scalar()
    if name is None:
        return []
    query = select(packages.c.root).where(packages.c.name == name, packages.c.root != b"").order_by(packages.c.id)
    known = list((await connection.execute(query)).scalars())
    found = [root for root, _ in (await _installed(connection, name, nodes)).most_common() if root in known]
    if nodes is None:
        found += [root for root in reversed(known[: known.index(result)]) if root not in found][:1]
    return [root for root in found if root != result][:MOST_BASES]


async def _installed(connection: AsyncConnection, name: str, nodes: Collection[str] | None) -> Counter[bytes]:
    """How many nodes have which root of the package, as their last receipts say."""
    query = (
        select(targets.c.node, jobs.c.type, jobs.c.root)
        .join(jobs, jobs.c.id == targets.c.job)
        .where(jobs.c.package == name, jobs.c.type.in_((*INSTALLING, "remove")), targets.c.state == "done")
        .where(targets.c.code != "condition.skipped")
        .order_by(jobs.c.number)
    )
    last: dict[str, bytes] = {}
    for node, type_, root in await connection.execute(query):
        if nodes is None or node in nodes:
            last[node] = root if type_ in INSTALLING else b""
    return Counter(root for root in last.values() if root)


async def want(
    connection: AsyncConnection, bases: Sequence[bytes], result: bytes, urgency: int, now: int, *, again: bool = False
) -> int:
    """Have these patches made unless they stand already (or failed, but for `again`); how many are new."""
    new = 0
    for base in bases:
        same = (patches.c.base == base) & (patches.c.result == result)
        row = (await connection.execute(select(patches.c.id, patches.c.state).where(same))).first()
        values = {"state": "waiting", "urgency": urgency, "asked": now, "detail": ""}
        if row is None:
            await connection.execute(insert(patches).values(base=base, result=result, **values))
        elif row.state == "waiting" or (again and row.state in {"failed", "useless"}):
            await connection.execute(update(patches).where(same).values(**values))
        else:
            continue
        new += 1
    return new


async def next_wanted(connection: AsyncConnection) -> Wanted | None:
    """The patch to make next, marked as being made."""
    query = (
        select(patches.c.id, patches.c.base, patches.c.result)
        .where(patches.c.state == "waiting")
        .order_by(patches.c.urgency.desc(), patches.c.id)
        .limit(1)
    )
    row = (await connection.execute(query)).first()
    if row is None:
        return None
    await connection.execute(update(patches).where(patches.c.id == row.id).values(state="making"))
    return Wanted(row.id, row.base, row.result)


async def begin_again(connection: AsyncConnection) -> None:
    """What a kill interrupted waits once more."""
    await connection.execute(update(patches).where(patches.c.state == "making").values(state="waiting"))


async def finish(connection: AsyncConnection, wanted: Wanted, chunks: Sequence[bytes], **values: Any) -> bool:
    """Write down what came of it; False when its packages are gone by now, and nothing was written.

    `chunks` become the result's: they stay and go with it.
    """
    result = (await connection.execute(select(packages.c.id).where(packages.c.root == wanted.result))).scalar()
    row = (await connection.execute(select(patches.c.id).where(patches.c.id == wanted.id))).scalar()
    if result is None or row is None:
        return False
    await connection.execute(update(patches).where(patches.c.id == wanted.id).values(**values))
    held = set(
        (await connection.execute(select(package_chunks.c.digest).where(package_chunks.c.package == result))).scalars()
    )
    rows = [{"package": result, "digest": digest} for digest in dict.fromkeys(chunks) if digest not in held]
    for at in range(0, len(rows), _ROWS):
        await connection.execute(insert(package_chunks), rows[at : at + _ROWS])
    return True


async def forget(connection: AsyncConnection, root: bytes) -> None:
    """The package is deleted: no patch leads to it, and none is made from it any more."""
    gone = (patches.c.result == root) | ((patches.c.base == root) & (patches.c.state != "made"))
    await connection.execute(delete(patches).where(gone))


async def made(connection: AsyncConnection) -> list[PatchOffer]:
    """Every patch that there is."""
    rows = await connection.execute(select(patches).where(patches.c.state == "made").order_by(patches.c.id))
    return [
        PatchOffer(base=row.base, result=row.result, patch=row.patch, size=row.size, plain=row.plain) for row in rows
    ]


async def listed(connection: AsyncConnection, roots: Collection[bytes]) -> list[dict[str, Any]]:
    """The patches that lead to these packages, as verbs answer them."""
    names: dict[bytes, str] = {}
    for name, version, revision, root in await connection.execute(
        select(packages.c.name, packages.c.version, packages.c.revision, packages.c.root)
    ):
        names[root] = f"{name}={version}/{revision}"
    rows = await connection.execute(select(patches).where(patches.c.result.in_(roots)).order_by(patches.c.id))
    return [
        {
            "from": names.get(row.base, row.base.hex()[:16]),
            "to": names.get(row.result, row.result.hex()[:16]),
            "state": row.state,
            "patch": row.patch,
            "bytes": row.size,
            "chunk_bytes": row.plain,
            "seconds": row.took_ms / 1000,
            "memory": row.memory,
            "detail": row.detail,
            "asked": row.asked,
            "ended": row.ended,
        }
        for row in rows
    ]


async def subject(connection: AsyncConnection, job: str) -> tuple[bytes, set[str]]:
    """What an install job brings to which endpoints; no root for other jobs."""
    root = (
        await connection.execute(select(jobs.c.root).where(jobs.c.id == job, jobs.c.type.in_(INSTALLING)))
    ).scalar_one_or_none()
    nodes = (await connection.execute(select(targets.c.node).where(targets.c.job == job))).scalars()
    return root or b"", set(nodes)
