"""A gateway that holds the base makes the chunks itself, and asks above for what it could not make."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from unittest.mock import AsyncMock

import pytest
from tests.support.depots import opened
from tests.support.hop import until
from tests.support.sealed import SealedPackage, like_code, offer_of, sealed, shifted

from tiercast_gateway.depot.depot import Depot
from tiercast_gateway.depot.offers import Offers
from tiercast_gateway.depot.patches import Patches
from tiercast_protocol.content.package.filegroups import FileGroup
from tiercast_protocol.content.patches import patchmake
from tiercast_protocol.content.sealed.manifest import Root
from tiercast_protocol.errors import ChunkMissing
from tiercast_protocol.node.database import Database
from tiercast_protocol.wire.messages import PatchOffer


@dataclass
class Desk:
    """Patches over a depot; what is above is a dictionary."""

    depot: Depot
    offers: Offers
    library: dict[bytes, bytes]
    asked: list[tuple[bytes, str]] = field(default_factory=list)
    dropped: list[bytes] = field(default_factory=list)
    fetching: list[bytes] = field(default_factory=list)
    fetched: list[bytes] = field(default_factory=list)
    arrived: set[bytes] = field(default_factory=set)
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    #: What machines below do not take of a package.
    out: frozenset[str] = frozenset()

    async def nobodys(self, _head: Root) -> frozenset[str]:
        return self.out

    def __post_init__(self) -> None:
        self.gate.set()
        self.patches = Patches(
            depot=self.depot,
            offers=self.offers,
            fetcher=self,
            ask_above=lambda digests, job: self.asked.extend((digest, job) for digest in digests),
            drop_above=self.dropped.extend,
            arrived=lambda digest, _size: self.arrived.add(digest),
            left_out=self.nobodys,
        )

    async def fetch(self, digests: Sequence[bytes], job: str = "") -> None:
        self.fetching += digests
        await self.gate.wait()
        for digest in digests:
            if digest not in self.library:
                raise ChunkMissing(digest)
            self.fetched.append(digest)
            await self.depot.put(digest, self.library[digest])


@dataclass
class Case:
    base: SealedPackage
    result: SealedPackage
    offer: PatchOffer
    chunks: dict[bytes, bytes]

    @property
    def lacking(self) -> set[bytes]:
        return set(self.result.chunks) - set(self.base.chunks)


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    folder = tmp_path_factory.mktemp("case")
    old = {f"tool-{n}": like_code(n, 400_000) for n in range(2)}
    base = sealed(folder, old, "1")
    result = sealed(folder, {path: shifted(data, 3, 60) for path, data in old.items()}, "2")
    with pytest.MonkeyPatch.context() as patching:
        patching.setattr(patchmake, "INLINE", 500)
        return Case(base, result, *offer_of(base, result))


@asynccontextmanager
async def desk(tmp_path: Path, db: Database, case: Case, *, base: bool = True) -> AsyncIterator[Desk]:
    async with opened(tmp_path, db, set()) as depot:
        if base:
            for digest, stored in case.base.chunks.items():
                await depot.put(digest, stored)
        at = Desk(depot, Offers(db), dict(case.chunks))
        await at.offers.learn([case.offer])
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(at.patches.run())
            try:
                yield at
            finally:
                running.cancel()


async def test_who_wants_the_package_gets_what_the_patch_makes(tmp_path: Path, db: Database, case: Case) -> None:
    async with desk(tmp_path, db, case) as at:
        at.patches.want([case.result.digest], "job")
        await until(lambda: case.result.digest in at.arrived)
        at.patches.want([digest for digest in case.lacking if at.depot.size(digest) is None], "job")
        await until(lambda: case.lacking <= at.arrived)
        assert at.asked == []
        assert set(at.fetched) == set(case.chunks)
        assert at.patches.shown()["regions_failed"] == 0


async def test_who_wants_the_patch_gets_the_patch(tmp_path: Path, db: Database, case: Case) -> None:
    async with desk(tmp_path, db, case) as at:
        at.patches.want(list(case.chunks), "job")
        assert at.asked == [(digest, "job") for digest in case.chunks]
        at.patches.unwant([case.offer.patch])
        assert at.dropped == [case.offer.patch]


async def test_a_further_job_does_not_wait_for_the_terms_of_the_first(tmp_path: Path, db: Database, case: Case) -> None:
    async with desk(tmp_path, db, case) as at:
        at.gate.clear()
        at.patches.want([case.result.digest], "shut")
        await until(lambda: bool(at.fetching))
        at.patches.want([case.result.digest], "open")
        assert at.asked == [(case.offer.patch, "open")], (
            "the patch that is waited for, and not the package in its place"
        )
        at.gate.set()
        await until(lambda: case.result.digest in at.arrived)
        asked = {digest for digest, job in at.asked if job == "open"}
        assert asked <= set(case.chunks), "only what the patch is made of"


@pytest.mark.parametrize("missing", ["all", "one"])
async def test_without_the_base_all_is_asked_for(tmp_path: Path, db: Database, case: Case, missing: str) -> None:
    async with desk(tmp_path, db, case, base=missing != "all") as at:
        if missing == "one":
            await at.depot.store.evict([case.base.side().order.digests[-1]])
        at.patches.want([case.result.digest], "job")
        await until(lambda: bool(at.asked))
        assert at.asked == [(case.result.digest, "job")]
        assert at.fetched == []


async def test_a_patch_that_nobody_holds_costs_nothing_but_its_chunks(tmp_path: Path, db: Database, case: Case) -> None:
    async with desk(tmp_path, db, case) as at:
        at.library.clear()
        at.patches.want([case.result.digest], "job")
        await until(lambda: bool(at.asked))
        assert at.asked == [(case.result.digest, "job")]
        assert at.patches.shown()["regions_failed"] == 1


async def test_what_a_patch_could_not_make_is_asked_for_after_it(tmp_path: Path, db: Database, case: Case) -> None:
    async with desk(tmp_path, db, case) as at:
        at.gate.clear()
        at.patches.want([case.result.digest], "job")
        pieces = [digest for digest in case.chunks if digest != case.offer.patch]
        for digest in pieces:
            del at.library[digest]
        at.gate.set()
        await until(lambda: case.result.digest in at.arrived)
        data = [digest for digest in case.result.side().order.digests if digest in case.lacking]
        at.patches.want(data, "job")
        await until(lambda: {digest for digest, _ in at.asked} == set(data))


async def test_a_base_is_leased_while_it_is_used(tmp_path: Path, db: Database, case: Case) -> None:
    async with desk(tmp_path, db, case) as at:
        at.gate.clear()
        at.patches.want([case.result.digest], "job")
        await until(lambda: at.depot.store.leases.reason(case.base.digest) != "")
        await at.depot.room.make(1 << 40)
        assert all(at.depot.size(digest) is not None for digest in case.base.chunks)
        at.gate.set()
        await until(lambda: case.lacking <= at.arrived)
        await until(lambda: at.depot.store.leases.reason(case.base.digest) == "")


async def test_a_preload_waits_for_the_patch(tmp_path: Path, db: Database, case: Case) -> None:
    async with desk(tmp_path, db, case) as at:
        async with asyncio.timeout(60):
            await asyncio.gather(*(at.patches.bring(case.result.digest, "job") for _ in range(3)))
            assert case.lacking <= at.arrived
            assert sorted(at.fetched) == sorted(case.chunks)
            await at.patches.bring(bytes(32), "job")


async def test_of_file_groups_those_are_made_that_are_for_machines_below(
    tmp_path: Path, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patchmake, "INLINE", 500)
    groups = (FileGroup("arm", "arm", 'os == "a"'), FileGroup("pc", "pc", 'os == "b"'))
    old = {path: like_code(n, 300_000) for n, path in enumerate(("arm/tool", "common", "pc/tool"))}
    base = sealed(tmp_path, old, "1", files=groups)
    result = sealed(tmp_path, {path: shifted(data, 3, 60) for path, data in old.items()}, "2", files=groups)
    arm = set(sealed(tmp_path, {"tool": shifted(old["arm/tool"], 3, 60)}, name="other").chunks)
    of_base = set(sealed(tmp_path, {"tool": old["arm/tool"]}, name="another").chunks)
    held = {digest: stored for digest, stored in base.chunks.items() if digest not in of_base}
    case = Case(base, result, *offer_of(base, result))
    async with desk(tmp_path, db, replace(case, base=replace(base, chunks=held))) as at:
        at.out = frozenset({"arm"})
        await at.patches.bring(result.digest, "job")
        there = {digest for digest in result.chunks if at.depot.size(digest) is not None}
        assert there == set(result.chunks) - arm
        assert set(at.fetched) < set(case.chunks), "what makes the others was not fetched"
        assert at.patches.shown()["regions_failed"] == 0


async def test_where_all_content_begins_nothing_is_made(tmp_path: Path, db: Database, case: Case) -> None:
    asked: list[bytes] = []
    async with opened(tmp_path, db, set(), library=True) as depot:
        offers = Offers(db)
        await offers.learn([case.offer])
        patches = Patches(
            depot=depot,
            offers=offers,
            fetcher=None,
            ask_above=lambda digests, _job: asked.extend(digests),
            drop_above=asked.extend,
            arrived=lambda _digest, _size: None,
            left_out=AsyncMock(return_value=frozenset()),
        )
        patches.want([case.result.digest])
        await patches.bring(case.result.digest, "")
        assert asked == [case.result.digest]
        assert patches.shown() == {}
