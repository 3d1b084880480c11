"""From a root to everything that it names."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from tests.support.hop import MadePackage, chunks, made_package

from tiercast_protocol.errors import ChunkMissing, ProtocolError
from tiercast_protocol.node import fetch as f


class Held:
    """A store of what was fetched, and the fetcher that fills it."""

    def __init__(self, library: dict[bytes, bytes]) -> None:
        self.library, self.held = library, dict[bytes, bytes]()
        self.fetched: list[bytes] = []
        self.calls = self.most_calls = 0

    async def get(self, digest: bytes) -> bytes:
        if digest not in self.held:
            raise ChunkMissing(digest)
        return self.held[digest]

    async def has(self, digest: bytes) -> bool:
        return digest in self.held

    async def fetch(self, digests: Sequence[bytes], job: str = "") -> None:
        self.calls += 1
        self.most_calls = max(self.calls, self.most_calls)
        await asyncio.sleep(0)
        for digest in digests:
            if digest not in self.library:
                raise ChunkMissing(digest)
            if digest not in self.held:
                self.fetched.append(digest)
                self.held[digest] = self.library[digest]
        self.calls -= 1


@pytest.fixture(scope="module")
def package() -> MadePackage:
    return made_package(3000, size=300)


async def test_a_list_is_checked_once_in_a_life(package: MadePackage, monkeypatch: pytest.MonkeyPatch) -> None:
    at, told = Held(package.chunks), list[bool]()
    decode = f.decode_list

    def counted(raw: bytes, *, known: bool) -> object:
        told.append(known)
        return decode(raw, known=known)

    monkeypatch.setattr(f, "decode_list", counted)
    monkeypatch.setattr(f, "_passed", set())
    root = await f.fetch_package(package.root, at, at)
    assert told == [False] * len(root.lists)
    named = [digest async for names in f.named_chunks(root, at) for digest in names]
    assert set(named) == set(package.chunks) - {package.root, *root.lists}
    assert len(told) == len(root.lists), "names need no entries"
    assert set(await f.data_chunks(root, at)) == set(package.chunks) - {package.root, *root.lists}
    assert told == [False] * len(root.lists) + [True] * len(root.lists)
    assert await f.package_digests(package.root, at) == set(package.chunks)
    assert len(told) == 2 * len(root.lists), "the chunks of a known list need no entries"
    monkeypatch.setattr(f, "_passed", set())
    assert await f.package_digests(package.root, at) == set(package.chunks)


async def test_everything_comes_root_first_with_bounded_calls(package: MadePackage) -> None:
    at, told = Held(package.chunks), list[tuple[int, int]]()
    root = await f.fetch_package(package.root, at, at, on_progress=lambda done, total: told.append((done, total)))
    assert at.held == package.chunks
    assert len(at.fetched) == len(package.chunks)
    assert at.fetched[0] == package.root
    assert at.fetched[1 : 1 + len(root.lists)] == root.lists
    assert at.most_calls <= f.CALLS
    assert told[0] == (0, package.size)
    assert told[-1] == (package.size, package.size)
    assert told == sorted(told)
    assert await f.package_digests(package.root, at) == set(package.chunks)


async def test_what_is_here_or_elsewhere_is_not_asked_for(package: MadePackage) -> None:
    at = Held(package.chunks)
    data = list(await _data(package))
    for digest in data[:1000]:
        at.held[digest] = package.chunks[digest]
    elsewhere = set(data[1000:2000])
    told: list[tuple[int, int]] = []
    asked: list[bytes] = []
    whole = Held(package.chunks)
    whole.held = dict(package.chunks)
    head = await f.read_root(package.root, whole)
    await f.fetch_chunks(
        await f.data_chunks(head, whole),
        at,
        have=(elsewhere | set(data[:1000])).__contains__,
        size=head.size,
        asked=asked.extend,
        on_progress=lambda done, total: told.append((done, total)),
    )
    assert set(at.held) == set(data) - elsewhere
    assert asked == data[2000:], "in the order of the lists"
    assert told[0] == (2000 * 300, package.size)
    assert told[-1] == (package.size, package.size)


async def _data(package: MadePackage) -> dict[bytes, int]:
    at = Held(package.chunks)
    at.held = dict(package.chunks)
    return await f.data_chunks(await f.read_root(package.root, at), at)


async def test_what_is_missing_above_is_raised_as_it_is(package: MadePackage) -> None:
    lost = list(await _data(package))[1500]
    at = Held({digest: stored for digest, stored in package.chunks.items() if digest != lost})
    with pytest.raises(ChunkMissing) as caught:
        await f.fetch_package(package.root, at, at)
    assert caught.value.digest == lost


async def test_a_root_that_is_none_is_refused() -> None:
    at = Held(chunks(1))
    with pytest.raises(ProtocolError):
        await f.fetch_package(next(iter(at.library)), at, at)


async def test_names_are_given_as_far_as_they_are_known(package: MadePackage) -> None:
    at = Held(package.chunks)
    assert await f.package_digests(package.root, at) == {package.root}
    await at.fetch([package.root])
    root = await f.read_root(package.root, at)
    assert await f.package_digests(package.root, at) == {package.root, *root.lists}
