"""Depots over the years: damage on their disks is found and mended, from above and from below."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

from cluster import assert_installed, build, random_tree, running, until
from region import Region


def damage(region: Region, node: str, every: int = 300_000) -> int:
    """Flip bits of chunks in the node's depot, on disk; the node is stopped meanwhile.  How many places."""
    region.kill(node, signal.SIGTERM)
    sections = sorted((region.daemons[node].folder / "depot" / "sections").iterdir())
    file = max(sections, key=lambda p: p.stat().st_size)
    data = bytearray(file.read_bytes())
    places = range(len(data) // 8, 7 * len(data) // 8, every)
    for at in places:
        data[at] ^= 0x40
    file.write_bytes(data)
    region.restart(node)
    return len(places)


def audited(region: Region, *options: str) -> dict[str, Any]:
    """An audit of everything, to its end; what it found."""
    found: dict[str, Any] = region.cli("depot", "audit", "--watch", *options)["audit"]
    return found


def test_damage_is_found_and_mended_from_above_and_from_below(tmp_path: Path) -> None:
    source = random_tree(tmp_path / "app", seed=41, files=8, size=3_000_000)
    with running() as region:
        region.add_server()
        region.add_gateway("gateway")
        region.add_endpoint("pc-1", "gateway")
        package = build(region, source, "app", "1")
        job = region.cli("job", "install", "app", "--on", "pc-1", "--watch")["job"]
        assert job["counts"] == {"done": 1}

        # A gateway's depot is mended by its parent, with the damaged chunks alone.
        places = damage(region, "gateway")
        until(lambda: region.cli("node", "show", "gateway")["node"]["online"], "the gateway is back")
        meter = region.meter()
        meter.restart()
        found = audited(region, "--node", "gateway")
        assert 0 < found["rounds"]["ordered"]["damaged"] <= places
        assert sum(found["missing"].values()) == 0, found
        assert set(found["healed_by"]) <= {"the parent", "a transfer"}
        assert meter.bytes()["server -> gateway"] < 0.9 * package["stored_bytes"]
        assert audited(region, "--node", "gateway")["rounds"]["ordered"]["damaged"] == 0

        # The library has no parent: a gateway below gives its chunks back.
        places = damage(region, "server", every=500_000)
        until(lambda: region.cli("node", "show", "gateway")["node"]["online"], "the gateway found the server again")
        found = audited(region)
        assert 0 < found["rounds"]["ordered"]["damaged"] <= places
        assert sum(found["missing"].values()) == 0, found
        assert found["healed_by"].keys() & {"gateway", "pc-1"}
        assert audited(region)["rounds"]["ordered"]["damaged"] == 0

        # And proved by use: a new endpoint below the server gets everything from the library.
        region.add_endpoint("pc-2")
        assert region.cli("job", "install", "app", "--on", "pc-2", "--watch")["job"]["counts"] == {"done": 1}
        assert_installed(region, ["pc-1", "pc-2"], "app", source)
