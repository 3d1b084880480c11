"""Patches applied: exact, resumed where they stopped, and given up region by region where something is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
import zstandard
from tests.support.sealed import SealedPackage, like_code, patch_between, sealed, shifted

from tiercast_protocol.content.patches import patch as p
from tiercast_protocol.content.patches import patchmake, patchplan
from tiercast_protocol.content.sealed.chunk import pack, seal, unseal
from tiercast_protocol.content.sealed.digest import digest_of
from tiercast_protocol.errors import ChunkCorrupt, ChunkMissing, MessageInvalid, StoreFull
from tiercast_protocol.node.fetch import package_digests
from tiercast_protocol.node.patching import Patcher
from tiercast_protocol.wire.messages import PatchOffer


class Killed(BaseException):
    """The end of the process, as far as a test goes."""


@dataclass
class Held:
    """A store, and the fetcher that fills it out of `library`."""

    library: dict[bytes, bytes]
    held: dict[bytes, bytes] = field(default_factory=dict)
    fetched: list[bytes] = field(default_factory=list)
    most: int = 1 << 40
    dies_after: int = 1 << 40
    put_count: int = 0

    async def get(self, digest: bytes) -> bytes:
        if digest not in self.held:
            raise ChunkMissing(digest)
        return self.held[digest]

    async def raw(self, digest: bytes) -> bytes:
        return unseal(digest, await self.get(digest))

    async def has(self, digest: bytes) -> bool:
        return digest in self.held

    async def put(self, digest: bytes, stored: bytes) -> bool:
        unseal(digest, stored)
        if sum(map(len, self.held.values())) + len(stored) > self.most:
            raise StoreFull(len(stored), 0, "quota")
        if self.put_count == self.dies_after:
            raise Killed
        self.put_count += 1
        self.held[digest] = stored
        return True

    async def fetch(self, digests: Sequence[bytes], job: str = "") -> None:
        for digest in digests:
            if digest not in self.library:
                raise ChunkMissing(digest)
            if digest not in self.held:
                self.fetched.append(digest)
                self.held[digest] = self.library[digest]


@dataclass
class Case:
    base: SealedPackage
    result: SealedPackage
    digest: bytes
    chunks: dict[bytes, bytes]

    @property
    def offer(self) -> PatchOffer:
        return PatchOffer(base=self.base.digest, result=self.result.digest, patch=self.digest, size=1, plain=2)

    def at(self, *, dies_after: int = 1 << 40) -> Held:
        """A node that holds the base, below one that holds everything."""
        return Held(self.chunks, dict(self.base.chunks), dies_after=dies_after)

    def patch(self) -> p.Patch:
        return p.decode_patch(unseal(self.digest, self.chunks[self.digest]))

    @property
    def lacking(self) -> set[bytes]:
        return set(self.result.chunks) - set(self.base.chunks)


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    """Several regions, with payloads in chunks of their own."""
    folder = tmp_path_factory.mktemp("case")
    old = {f"bin/tool-{n}": like_code(n, 500_000) for n in range(4)} | {f"lib/{n}": b"%d" % n * 300 for n in range(50)}
    new = {path: shifted(data, 3, 40) if "tool" in path else data + b"." for path, data in old.items()}
    with pytest.MonkeyPatch.context() as patching:
        patching.setattr(patchplan, "RESULT", 600_000)
        patching.setattr(patchplan, "REFERENCE", 1_200_000)
        patching.setattr(patchplan, "_CORE", 900_000)
        patching.setattr(patchmake, "INLINE", 500)
        base, result = sealed(folder, old, "1"), sealed(folder, new, "2")
        digest, chunks = patch_between(base, result)
    made = Case(base, result, digest, chunks)
    assert len(made.patch().regions) > 3
    assert len(chunks) > 3
    return made


async def brought(case: Case, at: Held) -> Patcher:
    """The whole patch applied at `at`."""
    patcher = Patcher(at, at)
    patch = await patcher.fetch(case.offer)
    assert await patcher.apply(patch, p.INDEX)
    await patcher.apply(patch, p.CONTENT)
    return patcher


async def test_everything_that_the_base_lacks_is_made_and_nothing_else_fetched(case: Case) -> None:
    at = case.at()
    told: list[bytes] = []
    patcher = Patcher(at, at, on_stored=lambda digest, _size: told.append(digest))
    patch = await patcher.fetch(case.offer, "job")
    assert await patcher.apply(patch, p.INDEX, "job")
    assert await patcher.apply(patch, p.CONTENT, "job")
    assert set(told) == case.lacking
    assert await package_digests(case.result.digest, at) == set(case.result.chunks)
    assert set(at.fetched) == set(case.chunks)
    assert patcher.tally.failed == 0
    assert patcher.tally.made == len(case.lacking)


async def test_killed_half_way_it_makes_only_the_rest(case: Case) -> None:
    at = case.at(dies_after=len(case.lacking) // 2)
    with pytest.raises((Killed, BaseExceptionGroup)):
        await brought(case, at)
    done = at.put_count
    assert 0 < done < len(case.lacking)
    at.dies_after, at.put_count = 1 << 40, 0
    patcher = await brought(case, at)
    assert at.put_count == len(case.lacking) - done
    assert patcher.tally.used < len(case.patch().regions)


async def test_all_there_nothing_is_read_or_fetched(case: Case) -> None:
    at = case.at()
    at.held |= case.result.chunks
    await brought(case, at)
    assert at.fetched == [case.digest]


@pytest.mark.parametrize("damage", ["gone", "corrupt"])
async def test_a_damaged_base_costs_the_regions_that_need_it(case: Case, damage: str) -> None:
    at = case.at()
    patch = case.patch()
    order = case.base.side().order.digests
    victim = order[p.numbers_of(patch.regions[-1].reference, len(order))[-1]]

    async def read(digest: bytes) -> bytes:
        if digest == victim:
            raise ChunkMissing(digest) if damage == "gone" else ChunkCorrupt(digest, "the owner changed it")
        return await at.raw(digest)

    patcher = Patcher(at, at, read=read)
    assert await patcher.apply(patch, p.INDEX)
    assert not await patcher.apply(patch, p.CONTENT)
    assert 0 < patcher.tally.failed < len(patch.regions)
    assert 0 < len(case.lacking & set(at.held)) < len(case.lacking)


async def test_a_base_without_its_lists_is_no_base(case: Case) -> None:
    at = case.at()
    del at.held[case.base.root.lists[0]]
    patcher = Patcher(at, at)
    assert not await patcher.apply(case.patch(), p.INDEX)
    assert not await patcher.apply(case.patch(), p.CONTENT)
    assert not case.lacking & set(at.held)


async def test_a_payload_that_nobody_holds_costs_its_region(case: Case) -> None:
    at = case.at()
    patch = case.patch()
    at.library = {d: s for d, s in case.chunks.items() if d != patch.pieces[-1]}
    patcher = Patcher(at, at)
    assert await patcher.apply(patch, p.INDEX)
    assert not await patcher.apply(patch, p.CONTENT)
    assert patcher.tally.failed == 1


async def test_a_full_store_is_told(case: Case) -> None:
    at = case.at()
    at.most = sum(map(len, at.held.values())) + sum(map(len, case.chunks.values())) + 100_000
    with pytest.raises(StoreFull):
        await brought(case, at)


async def test_what_was_not_offered_is_refused(case: Case) -> None:
    at = case.at()
    offer = PatchOffer(base=case.result.digest, result=case.base.digest, patch=case.digest, size=1, plain=2)
    with pytest.raises(MessageInvalid, match="not what was offered"):
        await Patcher(at, at).fetch(offer)


def lying(case: Case, n: int, **changes: Any) -> p.Patch:
    """The patch with region `n` changed."""
    regions = list(case.patch().regions)
    fields: dict[str, Any] = {name: getattr(regions[n], name) for name in regions[n].__struct_fields__}
    regions[n] = p.Region(**(fields | changes))
    return p.Patch(p.FORMAT, case.base.digest, case.result.digest, regions)


BOMB = zstandard.ZstdCompressor().compress(bytes(64 << 20))


@pytest.mark.parametrize(
    "changes",
    [
        {"frame": BOMB, "pieces": []},
        {"frame": b"no frame", "pieces": []},
        {"reference": [0, 1]},
        {"reference": [0, 1 << 31]},
        {"result": [0, 1 << 31]},
        {"result": [1, 1]},
        {"result": []},
        {"result": [1]},
    ],
    ids=lambda changes: "-".join(f"{key}={value!r:.20}" for key, value in changes.items()),
)
async def test_regions_that_lie_make_nothing_and_stop_nothing(case: Case, changes: dict[str, object]) -> None:
    at = case.at()
    patch = lying(case, len(case.patch().regions) - 1, **changes)
    patcher = Patcher(at, at)
    assert await patcher.apply(patch, p.INDEX)
    await patcher.apply(patch, p.CONTENT)
    assert patcher.tally.failed == (0 if changes.get("result") in ([], [1, 1]) else 1)
    made = case.lacking & set(at.held)
    assert 0 < len(made) < len(case.lacking)
    assert all(digest_of(unseal(digest, at.held[digest])) == digest for digest in made)


@pytest.mark.parametrize(
    "changes",
    [{"lengths": [5]}, {"frame": BOMB, "pieces": []}, {"result": [0, 6500]}, {"result": [0, 2], "lengths": [9, 9]}],
    ids=lambda changes: str(list(changes)),
)
async def test_an_index_that_lies_is_the_end_of_the_patch(case: Case, changes: dict[str, object]) -> None:
    at = case.at()
    patcher = Patcher(at, at)
    assert not await patcher.apply(lying(case, 0, **changes), p.INDEX)
    assert not case.lacking & set(at.held)


async def test_another_stored_form_is_the_same_chunk(case: Case) -> None:
    at = case.at()
    await brought(case, at)
    for digest in case.lacking:
        assert unseal(digest, at.held[digest]) == unseal(digest, case.result.chunks[digest])
    assert {len(at.held[d]) for d in case.lacking} != {len(case.result.chunks[d]) for d in case.lacking}
    assert seal(b"a")[1] == pack(b"a")
