"""Patches between real daemons: made by the server, applied by who holds the base, served as chunks to who does not."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster import assert_installed, build, running
from region import Region


@pytest.fixture(scope="module", name="site")
def _site() -> Iterator[Region]:
    with running() as region:
        region.add_server()
        region.add_gateway("gate")
        region.add_endpoint("old", "gate")
        region.add_endpoint("new", "gate")
        yield region


def like_a_program(seed: int, size: int) -> bytes:
    """Bytes of which words repeat, and hardly a chunk of a later version stays what it was."""
    chance = random.Random(seed)
    words = [chance.randbytes(chance.randrange(4, 14)) for _ in range(3000)]
    return b"".join(chance.choices(words, k=size // 8))


def changed(data: bytes) -> bytes:
    """As a compiler changes it: a byte every few hundred."""
    made = bytearray(data)
    for at in range(5, len(made), 400):
        made[at] ^= 85
    return bytes(made)


def used(region: Region, name: str) -> dict[str, Any]:
    """What the node says of patches."""
    found: dict[str, Any] = region.cli("status", at=name)["status"]["patches"]
    return found


def test_who_holds_the_base_takes_the_patch_and_who_does_not_gets_chunks(site: Region, tmp_path: Path) -> None:
    source = tmp_path / "app"
    (source / "lib").mkdir(parents=True)
    (source / "tool").write_bytes(like_a_program(1, 1_500_000))
    for number in range(40):
        (source / "lib" / f"m{number}.txt").write_text(f"module {number}\n" * 30)
    build(site, source, "app", "1")
    assert site.cli("job", "install", "app=1", "--on", "old", "--watch")["job"]["counts"] == {"done": 1}

    (source / "tool").write_bytes(changed((source / "tool").read_bytes()))
    upgrade = build(site, source, "app", "2")
    (patch,) = site.cli("package", "patches", "app=2", "--wait")["patches"]
    assert patch["state"] == "made"
    assert patch["bytes"] < upgrade["sent_bytes"] / 3

    meter = site.meter()
    meter.restart()
    assert site.cli("job", "install", "app=2", "--on", "old", "--watch")["job"]["counts"] == {"done": 1}
    assert_installed(site, ["old"], "app", source)
    carried = meter.bytes()
    assert max(carried["server -> gate"], carried["gate -> old"]) < patch["bytes"] + 30_000
    assert used(site, "old")["bytes_made"] > 1_000_000
    assert used(site, "old")["regions_failed"] == 0

    meter.restart()
    assert site.cli("job", "install", "app=2", "--on", "new", "--watch")["job"]["counts"] == {"done": 1}
    assert_installed(site, ["new"], "app", source)
    carried = meter.bytes()
    assert used(site, "gate")["bytes_made"] > 1_000_000, "the gateway made the chunks, out of the base in its depot"
    assert carried["server -> gate"] < 40_000, "and the patch was in its depot already"
    assert carried["gate -> new"] > upgrade["sent_bytes"]


def test_an_owner_who_changed_the_base_gets_chunks(site: Region, tmp_path: Path) -> None:
    source = tmp_path / "own"
    source.mkdir()
    (source / "tool").write_bytes(like_a_program(2, 700_000))
    build(site, source, "own", "1")
    assert site.cli("job", "install", "own=1", "--on", "old", "--watch")["job"]["counts"] == {"done": 1}
    installed = site.apps("old") / "own" / "tool"
    installed.write_bytes(b"mine" + installed.read_bytes()[4:])

    (source / "tool").write_bytes(changed((source / "tool").read_bytes()))
    build(site, source, "own", "2")
    assert site.cli("package", "patches", "own=2", "--wait")["patches"][0]["state"] == "made"
    before = used(site, "old")["regions_failed"]
    assert site.cli("job", "install", "own=2", "--on", "old", "--watch")["job"]["counts"] == {"done": 1}
    assert_installed(site, ["old"], "own", source)
    assert used(site, "old")["regions_failed"] > before
