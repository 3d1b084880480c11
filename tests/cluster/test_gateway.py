"""What a gateway promises to those below it: its quota, damaged chunks on its disk, and a child that is slow."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Any

from cluster import assert_balanced, assert_installed, build, random_tree, running, states, until
from region import Region


def held(region: Region) -> dict[str, tuple[int, int]]:
    """Chunks held and chunks in all, per package that the gateway knows."""
    packages = region.cli("depot", "show", "--node", "gateway")["depot"]["packages"]
    return {package["name"]: (package["held"], package["total"]) for package in packages}


def install(region: Region, package: str, *endpoints: str) -> dict[str, Any]:
    """Install and wait; the ended job."""
    targets = [word for name in endpoints for word in ("--on", name)]
    job: dict[str, Any] = region.cli("job", "install", package, *targets, "--watch", check=False)["job"]
    return job


def test_a_full_quota_takes_what_nobody_needs_and_never_what_is_pinned(tmp_path: Path) -> None:
    trees = {f"app{n}": random_tree(tmp_path / f"app{n}", seed=n, files=8, size=2_500_000) for n in (1, 2, 3)}
    with running() as region:
        region.add_server()
        region.add_gateway("gateway")
        region.add_endpoint("pc-1", "gateway")
        sizes = {name: build(region, folder, name, "1")["stored_bytes"] for name, folder in trees.items()}
        region.kill("gateway", signal.SIGTERM)
        settings = region.daemons["gateway"].folder / "gateway.toml"
        lines = settings.read_text().splitlines()
        quota = sum(sizes.values()) - min(sizes.values()) // 2
        settings.write_text("\n".join(f'quota = "{quota}B"' if s.startswith("quota =") else s for s in lines) + "\n")
        region.restart("gateway")
        assert install(region, "app1", "pc-1")["counts"] == {"done": 1}
        region.cli("depot", "pin", "app1", "--node", "gateway")
        for name in ("app2", "app3"):
            assert install(region, name, "pc-1")["counts"] == {"done": 1}
            assert_installed(region, ["pc-1"], name, trees[name])
        now = held(region)
        assert now["app1"][0] == now["app1"][1], "a pinned package stays whole"
        assert now["app3"][0] == now["app3"][1]
        assert now.get("app2", (0, 1))[0] < now.get("app2", (0, 1))[1], "what nobody needs made room"


def test_a_chunk_damaged_on_the_gateways_disk_is_fetched_anew_and_never_passed_on(tmp_path: Path) -> None:
    source = random_tree(tmp_path / "app", seed=5, files=8, size=2_000_000)
    with running() as region:
        region.add_server()
        region.add_gateway("gateway")
        region.add_endpoint("pc-1", "gateway")
        package = build(region, source, "app", "1")
        assert region.cli("job", "preload", "app", "--on", "gateway", "--watch")["job"]["counts"] == {"done": 1}
        region.kill("gateway", signal.SIGTERM)
        largest = max(
            (p for p in region.daemons["gateway"].folder.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size
        )
        data = bytearray(largest.read_bytes())
        assert len(data) >= package["stored_bytes"] * 0.9, "these are the chunks"
        for at in range(len(data) // 4, 3 * len(data) // 4, 300_000):
            data[at] ^= 0x40
        largest.write_bytes(data)
        region.restart("gateway")
        meter = region.meter()
        meter.restart()
        assert install(region, "app", "pc-1")["counts"] == {"done": 1}
        assert_installed(region, ["pc-1"], "app", source)
        again = meter.bytes()["server -> gateway"]
        assert 64_000 < again < package["stored_bytes"], "the damaged chunks alone came again"
        assert_balanced(region)


def test_a_slow_child_holds_up_nobody(tmp_path: Path) -> None:
    source = random_tree(tmp_path / "app", seed=6, files=20, size=4_000_000)
    with running() as region:
        region.add_server()
        region.add_gateway("gateway")
        region.add_endpoints(["quick-1", "quick-2", "slow"], "gateway")
        # at this rate it would take more than half a minute, however slow the machine is for the others
        region.cli("link", "set", "slow", "--node", "gateway", "--rate", "100KB/s")
        package = build(region, source, "app", "1")
        meter = region.meter()
        meter.restart()
        began = time.monotonic()
        targets = [word for name in ("quick-1", "quick-2", "slow") for word in ("--on", name)]
        job = region.cli("job", "install", "app", *targets)["job"]
        until(lambda: all(states(region, job)[name] == "done" for name in ("quick-1", "quick-2")), "the quick are done")
        carried = meter.bytes()["gateway -> slow"]
        assert carried <= 1.1 * 100_000 * (time.monotonic() - began) + 64_000, "its limit held"
        assert carried < 0.9 * package["stored_bytes"]
        until(lambda: states(region, job)["slow"] == "fetching", "it is told of at the next report upward")
        region.cli("link", "set", "slow", "--node", "gateway", "--rate", "4MB/s")
        assert region.cli("job", "watch", job)["job"]["counts"] == {"done": 3}
        assert_installed(region, ["quick-1", "quick-2", "slow"], "app", source)
