"""From what is installed to what is ordered: by patches where they serve, by chunks where they don't."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from tests.endpoint.lab import Agent, Package, Region, agent_over, pack
from tests.support.sealed import like_code, shifted

from tiercast_endpoint.jobs.journal import Job
from tiercast_endpoint.trees import holdings
from tiercast_endpoint.trees.materials import Progress
from tiercast_protocol.content.package.filegroups import FileGroup
from tiercast_protocol.content.patches import patchmake, patchplan
from tiercast_protocol.content.patches.patchmake import make_patch
from tiercast_protocol.content.patches.patchplan import Side
from tiercast_protocol.content.sealed.chunk import unseal
from tiercast_protocol.content.sealed.manifest import decode_list, decode_root
from tiercast_protocol.wire.messages import PatchOffer

ONE: dict[str, bytes | str | None] = {"tool": like_code(1, 400_000), "readme": b"read me"}
TWO = ONE | {"tool": shifted(like_code(1, 400_000), 2)}
THREE = TWO | {"tool": shifted(like_code(1, 400_000), 3), "new": b"new here"}


def side(package: Package) -> Side:
    root = decode_root(unseal(package.root, package.chunks[package.root]))
    made = Side(package.root, root)
    for listed in root.lists:
        made.add(decode_list(unseal(listed, package.chunks[listed])))
    return made


def patch_of(base: Package, result: Package) -> tuple[PatchOffer, dict[bytes, bytes]]:
    held = base.chunks | result.chunks
    chunks = dict(make_patch(side(base), side(result), lambda digest: unseal(digest, held[digest])))
    plain = sum(len(stored) for digest, stored in result.chunks.items() if digest not in base.chunks)
    size = sum(map(len, chunks.values()))
    return PatchOffer(base=base.root, result=result.root, patch=list(chunks)[-1], size=size, plain=plain), chunks


@pytest.fixture(scope="module")
def packages() -> tuple[Package, Package, Package]:
    return pack("app", "1", ONE), pack("app", "2", TWO), pack("app", "3", THREE)


@pytest.fixture(scope="module")
def patches(packages: tuple[Package, Package, Package]) -> list[tuple[PatchOffer, dict[bytes, bytes]]]:
    one, two, three = packages
    return [patch_of(one, two), patch_of(two, three)]


async def installed(agent: Agent, package: Package) -> None:
    """The package stands, its parent forgets it."""
    agent.offer(package)
    assert (await agent.do(f"install-{package.version}", "install", package)).state == "done"
    agent.fetcher.fetched.clear()
    agent.fetcher.chunks.clear()


Three = tuple[Package, Package, Package]
Made = list[tuple[PatchOffer, dict[bytes, bytes]]]


async def test_an_upgrade_fetches_the_patch_and_nothing_else(agent: Agent, packages: Three, patches: Made) -> None:
    one, two, _ = packages
    offer, chunks = patches[0]
    await installed(agent, one)
    agent.fetcher.chunks.update(chunks)
    await agent.materials.patches.hear([offer])
    assert (await agent.do("up", "install", two)).state == "done"
    assert agent.tree("app") == TWO
    assert set(agent.fetcher.fetched) == set(chunks)
    assert agent.materials.patches.shown()["regions_failed"] == 0
    left = set(await agent.store.digests())
    assert not left & set(chunks), "a payload that was used up goes"
    assert not left & two.data


async def test_its_progress_is_told_region_by_region(
    agent: Agent, packages: Three, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two, _ = packages
    monkeypatch.setattr(patchplan, "RESULT", 100_000)  # so that a small file takes several
    offer, chunks = patch_of(one, two)
    await installed(agent, one)
    agent.fetcher.chunks.update(chunks)
    await agent.materials.patches.hear([offer])
    told: list[tuple[int, int]] = []
    fetch = agent.materials.fetch

    async def listened(job: Job, tell: Progress, asked: Callable[[Sequence[bytes]], None] | None = None) -> None:
        def both(done: int, size: int) -> None:
            told.append((done, size))
            tell(done, size)

        await fetch(job, both, asked)

    monkeypatch.setattr(agent.materials, "fetch", listened)
    assert (await agent.do("up", "install", two)).state == "done"
    size = sum(len(content) for content in TWO.values() if isinstance(content, bytes))
    steps = [done for done, _ in told]
    assert len(steps) > 3
    assert steps == sorted(steps)
    assert 0 < steps[0] < size
    assert told[-1] == (size, size)


async def test_several_steps_if_no_single_one_leads_there(agent: Agent, packages: Three, patches: Made) -> None:
    one, two, three = packages
    await installed(agent, one)
    for offer, chunks in patches:
        agent.fetcher.chunks.update(chunks)
        await agent.materials.patches.hear([offer])
    assert (await agent.do("up", "install", three)).state == "done"
    assert agent.tree("app") == THREE
    assert set(agent.fetcher.fetched) == {digest for _, chunks in patches for digest in chunks}
    assert not set(await agent.store.digests()) & (two.data | {two.root})


async def test_without_the_base_chunks_come(agent: Agent, packages: Three, patches: Made) -> None:
    _, two, _ = packages
    offer, chunks = patches[0]
    agent.fetcher.chunks.update(chunks)
    agent.offer(two)
    await agent.materials.patches.hear([offer])
    assert (await agent.do("up", "install", two)).state == "done"
    assert not set(agent.fetcher.fetched) & set(chunks)


@pytest.mark.parametrize("damage", ["changed", "gone"])
async def test_a_base_that_the_owner_changed(agent: Agent, packages: Three, patches: Made, damage: str) -> None:
    one, two, _ = packages
    offer, chunks = patches[0]
    await installed(agent, one)
    tool = agent.root.path / "app/tool"
    if damage == "gone":
        tool.unlink()
    else:
        tool.write_bytes(b"mine" + tool.read_bytes()[4:])
    agent.fetcher.chunks.update(chunks)
    agent.offer(two)
    await agent.materials.patches.hear([offer])
    assert (await agent.do("up", "install", two)).state == "done"
    assert agent.tree("app") == TWO
    assert agent.materials.patches.shown()["regions_failed"] > 0
    assert set(agent.fetcher.fetched) & two.data


@pytest.mark.parametrize("lie", ["absent", "another", "damaged", "wrong base"])
async def test_an_offer_that_lies_costs_no_more_than_chunks(
    agent: Agent, packages: Three, patches: Made, lie: str
) -> None:
    one, two, three = packages
    offer, chunks = patches[0]
    await installed(agent, one)
    agent.offer(two)
    if lie == "another":
        offer = PatchOffer(base=offer.base, result=two.root, patch=patches[1][0].patch, size=1, plain=10**6)
        agent.fetcher.chunks.update(patches[1][1])
    elif lie == "damaged":
        offer = PatchOffer(base=offer.base, result=two.root, patch=one.root, size=1, plain=10**6)
        agent.fetcher.chunks.update(one.chunks)
    elif lie == "wrong base":
        offer = PatchOffer(base=three.root, result=two.root, patch=offer.patch, size=1, plain=10**6)
        agent.fetcher.chunks.update(chunks)
    await agent.materials.patches.hear([offer])
    assert (await agent.do("up", "install", two)).state == "done"
    assert agent.tree("app") == TWO


async def test_a_downgrade_uses_a_patch_backwards(agent: Agent, packages: Three) -> None:
    one, two, _ = packages
    back, chunks = patch_of(two, one)
    await installed(agent, two)
    agent.fetcher.chunks.update(chunks)
    await agent.materials.patches.hear([back])
    assert (await agent.do("down", "install", one)).state == "done"
    assert agent.tree("app") == ONE
    assert set(agent.fetcher.fetched) == set(chunks)


async def test_killed_while_it_applies_it_goes_on(
    tmp_path: Path, region: Region, packages: Three, patches: Made
) -> None:
    one, two, _ = packages
    offer, chunks = patches[0]
    async with agent_over(tmp_path / "a", region) as agent:
        await installed(agent, one)
        agent.fetcher.chunks.update({offer.patch: chunks[offer.patch]})
        await agent.materials.patches.hear([offer])
        await agent.materials.patches.index(two.root, "up")
        await agent.order(region.order("up", "install", two))
    held = two.root
    async with agent_over(tmp_path / "a", region, chunks=chunks) as agent:
        assert (await agent.ended("up")).state == "done"
        assert agent.tree("app") == TWO
        assert set(agent.fetcher.fetched) <= set(chunks)
        assert held in await agent.store.digests()


GROUPS = (FileGroup("arm", "arm", 'architecture == "aarch64"'), FileGroup("pc", "pc", 'architecture == "x86_64"'))


def grouped(version: str, times: int) -> Package:
    """Every program of every group changes a little from version to version."""
    content: dict[str, bytes | str | None] = {"arm": None, "pc": None}
    for number, path in enumerate(("arm/tool", "common", "pc/tool")):
        code = like_code(number, 400_000)
        content[path] = shifted(code, times) if times else code
    return pack("app", version, content, files=GROUPS)


async def test_who_takes_a_file_group_takes_its_part_of_a_patch(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patchmake, "INLINE", 500)  # what is short lies in the patch itself
    one, two, three = grouped("1", 0), grouped("2", 2), grouped("3", 3)
    arm = set(pack("other", "1", {"tool": shifted(like_code(0, 400_000), 3)}).data)
    await installed(agent, one)
    whole: dict[bytes, bytes] = {}
    for base, result in ((one, two), (two, three)):
        offer, chunks = patch_of(base, result)
        whole |= chunks
        agent.fetcher.chunks.update(chunks)
        await agent.materials.patches.hear([offer])
    assert (await agent.do("up", "install", three)).state == "done"
    tree = agent.tree("app")
    assert tree == {"common": shifted(like_code(1, 400_000), 3), "tool": shifted(like_code(2, 400_000), 3)}
    assert set(agent.fetcher.fetched) <= set(whole), "no chunk of the new version came"
    assert set(agent.fetcher.fetched) < set(whole), "nor what makes the other group's"
    assert not arm & set(await agent.store.digests())
    assert agent.materials.patches.shown()["regions_failed"] == 0


async def test_who_takes_another_group_now_gets_its_chunks(agent: Agent) -> None:
    one, two = grouped("1", 0), grouped("2", 2)
    await installed(agent, one)
    agent.facts["architecture"] = "aarch64"
    offer, chunks = patch_of(one, two)
    agent.fetcher.chunks.update(chunks)
    agent.offer(two)
    await agent.materials.patches.hear([offer])
    assert (await agent.do("up", "install", two)).state == "done"
    assert (agent.tree("app") or {})["tool"] == shifted(like_code(0, 400_000), 2)
    assert agent.materials.patches.shown()["regions_failed"] == 0
    assert set(agent.fetcher.fetched) & set(chunks), "what all machines take came as a patch all the same"


async def test_few_offers_are_kept_and_nonsense_is_not(agent: Agent, packages: Three) -> None:
    def numbered(n: int) -> PatchOffer:
        return PatchOffer(base=n.to_bytes(32, "big"), result=packages[1].root, patch=bytes(32), size=1, plain=2)

    await agent.materials.patches.hear([numbered(n) for n in range(1000)])
    await agent.materials.patches.hear([numbered(n) for n in range(1000, 1200)])
    nonsense = [
        PatchOffer(base=b"x", result=bytes(32), patch=bytes(32), size=1, plain=2),
        PatchOffer(base=bytes(32), result=bytes(32), patch=bytes(32), size=-1, plain=2),
        PatchOffer(base=bytes(32), result=bytes(32), patch=bytes(32), size=1, plain=1 << 63),
    ]
    await agent.materials.patches.hear(nonsense)
    kept = await agent.db.read(lambda c: [row[0] for row in c.execute("SELECT base FROM patch_offer ORDER BY id")])
    assert len(kept) == 256
    assert kept[-1] == (1199).to_bytes(32, "big")
    assert await agent.db.read(holdings.trees) == []
