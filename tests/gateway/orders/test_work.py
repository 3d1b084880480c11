"""What a gateway does by itself, and the receipt that says so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from msgspec import structs
from tests.support.hop import MadePackage, made_package, order_for, until
from tests.support.sealed import sealed

from tiercast_gateway.depot.depot import Depot
from tiercast_gateway.orders import work
from tiercast_gateway.orders.orders import OwnOrder
from tiercast_gateway.orders.work import Identity, OwnWork
from tiercast_protocol.content.jobs.order import Order
from tiercast_protocol.content.jobs.receipt import open_receipt
from tiercast_protocol.content.package.filegroups import FileGroup
from tiercast_protocol.content.sealed.manifest import Root
from tiercast_protocol.content.trust.keys import PrivateKey
from tiercast_protocol.errors import ChunkMissing
from tiercast_protocol.node.chunks.disk import DiskStore
from tiercast_protocol.node.database import Database
from tiercast_protocol.wire import codec
from tiercast_protocol.wire.messages import StatusRecord

REGION_KEY, KEY = PrivateKey.generate(), PrivateKey.generate()


class Fetching:
    """Brings what the library has; `refuse` times it says that chunks are absent."""

    def __init__(self, depot: Depot, library: dict[bytes, bytes], refuse: int = 0) -> None:
        self.depot, self.library, self.refuse = depot, library, refuse
        self.hold = asyncio.Event()
        self.hold.set()

    async def fetch(self, digests: Sequence[bytes], job: str = "") -> None:
        await self.hold.wait()
        for digest in digests:
            if self.refuse or digest not in self.library:
                self.refuse -= 1
                raise ChunkMissing(digest)
            await self.depot.put(digest, self.library[digest])


class Desk:
    def __init__(self, depot: Depot, fetcher: Fetching) -> None:
        self.depot, self.fetcher = depot, fetcher
        self.records: list[StatusRecord] = []
        self.done: list[tuple[str, int]] = []
        self.brought: list[tuple[bytes, str]] = []
        self.nobodys = frozenset[str]()
        self.work = OwnWork(
            identity=Identity("me", KEY, 1),
            depot=depot,
            fetcher=fetcher,
            bring=self._bring,
            left_out=self._nobodys,
            tell=self._tell,
            done=self._done,
        )

    async def _nobodys(self, _head: Root) -> frozenset[str]:
        return self.nobodys

    async def _bring(self, root: bytes, job: str) -> None:
        self.brought.append((root, job))

    async def _tell(self, record: StatusRecord) -> None:
        self.records.append(record)

    async def _done(self, order: Order) -> None:
        self.done.append((order.job, order.revision))

    def do(
        self,
        type_: str,
        root: bytes,
        *,
        revision: int = 1,
        key: PrivateKey = KEY,
        must: tuple[str, ...] = (),
        **options: int | str,
    ) -> None:
        bundle = order_for(
            REGION_KEY, {"me": key.public}, type_=type_, root=root, revision=revision, options=dict(options)
        )
        order = structs.replace(codec.decode(bundle.order, Order), must=list(must))
        self.work.do(OwnOrder(order, bundle.targets[0], "c"))

    async def ended(self, count: int = 1) -> StatusRecord:
        await until(lambda: len(self.done) >= count)
        final = self.records[-1]
        receipt = open_receipt(final.receipt, final.signature, KEY.public)
        assert (receipt.state, receipt.code, receipt.seq) == (final.state, final.code, final.seq)
        return final


@asynccontextmanager
async def desk(store: DiskStore, db: Database, package: MadePackage, *, refuse: int = 0) -> AsyncIterator[Desk]:
    async def nothing_needed() -> set[bytes]:
        return set()

    depot = Depot(store, db, needed=nothing_needed)
    made = Desk(depot, Fetching(depot, package.chunks, refuse))
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(made.work.run())
        try:
            yield made
        finally:
            running.cancel()


async def test_a_preload_ends_with_everything_held(store: DiskStore, db: Database) -> None:
    package = made_package(30)
    async with desk(store, db, package) as at:
        at.do("preload", package.root)
        assert (await at.ended()).state == "done"
        assert at.records[0].state == "fetching"
        assert all(at.depot.size(digest) for digest in package.chunks)
        assert at.brought == [(package.root, "j1")]


async def test_a_preload_brings_the_file_groups_that_are_for_machines_below(
    store: DiskStore, db: Database, tmp_path: Path
) -> None:
    groups = (FileGroup("arm", "arm", 'os == "a"'), FileGroup("pc", "pc", 'os == "b"'))
    made = sealed(tmp_path, {"arm/x": b"a" * 9000, "pc/x": b"p" * 7000, "y": b"y" * 300_000}, files=groups)
    async with desk(store, db, MadePackage(made.digest, made.chunks, made.root.size)) as at:
        at.nobodys = frozenset({"arm"})
        at.do("preload", made.digest)
        assert (await at.ended()).state == "done"
        sizes = {digest: at.depot.size(digest) for digest in made.chunks}
        assert sum(size is None for size in sizes.values()) == 1
        at.nobodys = frozenset()
        at.do("preload", made.digest, revision=2)
        assert (await at.ended(2)).state == "done"
        assert all(at.depot.size(digest) for digest in made.chunks)


async def test_absent_chunks_are_asked_for_again_and_in_the_end_said(
    store: DiskStore, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work, "RETRIES", (0.0, 0.0))
    package = made_package(3)
    async with desk(store, db, package, refuse=2) as at:
        at.do("preload", package.root)
        assert (await at.ended()).state == "done"
    async with desk(store, db, package) as at:
        at.do("preload", b"x" * 32)
        final = await at.ended()
        assert (final.state, final.code) == ("failed", "chunk.missing")


async def test_a_preload_is_tried_as_often_as_its_order_says(store: DiskStore, db: Database) -> None:
    package = made_package(3)
    async with desk(store, db, package, refuse=1) as at:
        at.do("preload", package.root, tries=2, try_pause_s=1)
        assert (await at.ended()).state == "done"
    async with desk(store, db, package) as at:
        at.do("preload", b"x" * 32, tries=1)
        assert (await at.ended()).code == "chunk.missing"
    async with desk(store, db, package) as at:
        at.do("preload", b"x" * 32, tries=9, try_codes="store.full")
        assert (await at.ended()).code == "chunk.missing", "not for this code"


async def test_a_purge_lets_the_package_go_and_a_cancel_ends_a_preload(store: DiskStore, db: Database) -> None:
    package = made_package(3)
    async with desk(store, db, package) as at:
        at.do("preload", package.root)
        await at.ended()
        at.do("purge", package.root, revision=2)
        assert (await at.ended(2)).state == "done"
        assert at.depot.usage().chunks == 0
        at.fetcher.hold.clear()
        at.do("preload", package.root, revision=3)
        await until(lambda: at.records[-1].revision == 3)
        at.do("cancel", b"", revision=4)
        final = await at.ended(3)
        assert (final.revision, final.state) == (4, "cancelled")


async def test_a_preload_has_its_time(store: DiskStore, db: Database) -> None:
    package = made_package(1)
    async with desk(store, db, package) as at:
        at.fetcher.hold.clear()
        at.do("preload", package.root, send_timeout_s=1, tries=1)
        final = await at.ended()
        assert (final.state, final.code, final.detail) == ("failed", "send.timeout", "It was not all here within 1 s.")


async def test_without_its_proof_an_order_is_rejected_and_an_install_is_not_a_gateways(
    store: DiskStore, db: Database
) -> None:
    package = made_package(1)
    async with desk(store, db, package) as at:
        at.do("preload", package.root, key=PrivateKey.generate())
        final = await at.ended()
        assert (final.state, final.code) == ("rejected", "order.proof")
        at.do("install", package.root, revision=2)
        final = await at.ended(2)
        assert (final.state, final.code) == ("failed", "order.type")
        at.do("preload", package.root, revision=3, must=("tries", "x"))
        final = await at.ended(3)
        assert (final.state, final.code, final.detail) == ("rejected", "order.unknown-option", "Not known here: x.")


async def test_the_same_order_while_it_runs_is_not_begun_twice(store: DiskStore, db: Database) -> None:
    package = made_package(3)
    async with desk(store, db, package) as at:
        at.fetcher.hold.clear()
        at.do("preload", package.root)
        at.do("preload", package.root)
        await until(at.work._queue.empty)
        at.fetcher.hold.set()
        await at.ended()
        assert at.done == [("j1", 1)]
