"""What was lost comes back: from the parent, from below, and whatever those below say."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.depots import fill, opened
from tests.support.hop import MadePackage, made_package, until

from tiercast_gateway.depot.depot import Depot
from tiercast_gateway.depot.repair import ROUNDS, Repair, Ways
from tiercast_protocol.errors import ChunkMissing, UsageError
from tiercast_protocol.node.database import Database
from tiercast_protocol.node.giving import give


@dataclass
class Region:
    """Who stands around the depot: what the parent gives, and what each node below holds."""

    depot: Depot
    parent: dict[bytes, bytes] | None = None
    below: dict[str, dict[bytes, bytes] | object] = field(default_factory=dict)
    needed: set[bytes] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)
    absent: set[bytes] = field(default_factory=set)

    def ways(self) -> Ways:
        async def needed() -> set[bytes]:
            return self.needed

        return Ways(
            fetch=self.fetch if self.parent is not None else None,
            connected=lambda: True,
            holders=lambda: list(self.below),
            ask=self.ask,
            needed=needed,
            arrived=lambda _digest, _size: None,
            absent=lambda digest, _reason: self.absent.add(digest),
        )

    async def fetch(self, digests: Sequence[bytes]) -> None:
        assert self.parent is not None
        for digest in digests:
            if digest not in self.parent:
                raise ChunkMissing(digest)
            await self.depot.put(digest, self.parent[digest])

    async def ask(self, node: str, verb: str, args: dict[str, Any], deadline: float) -> Any:
        self.asked.append(node)
        held = self.below[node]
        if isinstance(held, Exception):
            raise held
        if not isinstance(held, dict):
            return held

        async def read(digest: bytes) -> bytes:
            if digest not in held:
                raise ChunkMissing(digest)
            return held[digest]

        return await give(args["digests"], args["offset"], read)


async def lose(depot: Depot, package: MadePackage, count: int) -> list[bytes]:
    """Take chunks away behind everybody's back."""
    gone = list(package.chunks)[:count]
    await depot.store.evict(gone)
    return gone


async def test_the_parent_first_then_those_below_and_what_is_missing_is_not_forgotten(
    tmp_path: Path, db: Database
) -> None:
    package = made_package(6)
    async with opened(tmp_path, db, set()) as depot:
        await fill(depot, package, "tool")
        gone = await lose(depot, package, 4)
        region = Region(depot, parent={gone[0]: package.chunks[gone[0]]}, needed=set(package.chunks))
        region.below = {
            "dead": UsageError("node.silent", "no answer"),
            "liar": {gone[1]: b"\x00lies", gone[2]: package.chunks[gone[2]]},
            "babbler": {"pieces": [], "place": 0, "offset": 0},
            "pc-1": {gone[1]: package.chunks[gone[1]], gone[2]: package.chunks[gone[2]]},
        }
        repair = Repair(db, depot, region.ways())
        await repair.note({gone[0]: "damaged", **dict.fromkeys(gone[1:], "lost")}, seek=True)
        await repair.bring_back()
        figures = await repair.figures()
        assert figures["missing"] == {"damaged": 0, "lost": 1}
        assert figures["healed_by"]["the parent"] == 1
        assert sum(figures["healed_by"].values()) == 3
        assert [await depot.get(d) for d in gone[:3]] == [package.chunks[d] for d in gone[:3]]
        assert region.absent == {gone[3]}

        again = Repair(db, depot, region.ways())
        await again.load()
        assert again.seeking(gone[3])
        region.below = {"pc-2": dict(package.chunks)}
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(again.run())
            await until(lambda: depot.size(gone[3]) is not None)
            running.cancel()


async def test_what_no_package_names_is_sought_a_few_times_and_then_let_be(tmp_path: Path, db: Database) -> None:
    package = made_package(2)
    async with opened(tmp_path, db, set()) as depot:
        repair = Repair(db, depot, Region(depot).ways())
        digest = next(iter(package.chunks))
        await repair.note({digest: "damaged"}, seek=True)
        for _ in range(ROUNDS):
            assert repair.seeking(digest)
            await repair.bring_back()
        assert not repair.seeking(digest)
        assert (await repair.figures())["missing"] == {"damaged": 0, "lost": 0}


async def test_without_repair_it_is_noted_and_left(tmp_path: Path, db: Database) -> None:
    package = made_package(2)
    async with opened(tmp_path, db, set()) as depot:
        repair = Repair(db, depot, Region(depot, parent=dict(package.chunks)).ways())
        digest = next(iter(package.chunks))
        await repair.note({digest: "lost"}, seek=False)
        await repair.bring_back()
        assert not await depot.has(digest)
        assert (await repair.figures())["missing"]["lost"] == 1
        await repair.note({digest: "lost"}, seek=True)
        await repair.bring_back()
        assert (await repair.figures())["healed_by"] == {"the parent": 1}
