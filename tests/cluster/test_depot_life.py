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


def holders(region: Region, package: str) -> dict[str, Any]:
    """Every node's row of `depot who`."""
    return {node["name"]: node for node in region.cli("depot", "who", package)["who"]["nodes"]}


def test_seeded_from_media_damaged_and_mended_from_above_and_from_below(tmp_path: Path) -> None:
    source = random_tree(tmp_path / "app", seed=41, files=8, size=3_000_000)
    stick = tmp_path / "stick"
    with running() as region:
        region.add_server()
        region.add_gateway("gateway")
        region.add_endpoint("pc-1", "gateway")
        package = build(region, source, "app", "1")
        chunks, stored = package["chunks"], package["stored_bytes"]

        # From media: then orders and receipts alone cross the link.
        assert region.cli("depot", "export", "app", str(stick))["export"]["written"] == chunks
        meter = region.meter()
        meter.restart()
        seeded = region.cli("depot", "seed", str(stick), at="gateway")["seed"]
        assert (seeded["sent"], seeded["damaged"], seeded["packages"][0]["lacking"]) == (chunks, [], 0)
        who = holders(region, "app@1")
        assert [who[name]["chunks"] for name in ("server", "gateway", "pc-1")] == [chunks, chunks, 0]
        assert region.cli("job", "install", "app", "--on", "pc-1", "--watch")["job"]["counts"] == {"done": 1}
        assert meter.bytes()["server -> gateway"] < 60_000 < stored

        # A gateway's depot is mended with the damaged chunks alone.
        places = damage(region, "gateway")
        until(lambda: region.cli("node", "show", "gateway")["node"]["online"], "the gateway is back")
        meter = region.meter()
        meter.restart()
        found = audited(region, "--node", "gateway")
        assert 0 < found["rounds"]["ordered"]["damaged"] <= places
        assert sum(found["missing"].values()) == 0, found
        assert found["healed_by"], "by its parent, or, before that was there again, by its child"
        assert meter.bytes()["server -> gateway"] < 0.9 * stored

        # The library has no parent: those below give its chunks back.
        places = damage(region, "server", every=500_000)
        until(lambda: region.cli("node", "show", "gateway")["node"]["online"], "the gateway found the server again")
        found = audited(region)
        assert 0 < found["rounds"]["ordered"]["damaged"] <= places
        assert sum(found["missing"].values()) == 0, found
        assert found["healed_by"].keys() & {"gateway", "pc-1"}
        assert audited(region)["rounds"]["ordered"]["damaged"] == 0
        assert holders(region, "app")["server"]["chunks"] == chunks

        # Who is away is told with its last word.
        assert_installed(region, ["pc-1"], "app", source)
        region.kill("pc-1", signal.SIGTERM)
        until(lambda: not region.cli("node", "show", "pc-1")["node"]["online"], "pc-1 is away")
        away = holders(region, "app")["pc-1"]
        assert (away["state"], away["last_state"]) == ("offline", "done")
