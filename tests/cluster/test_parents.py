"""A gateway dies, its children go elsewhere and come home; nodes are moved, replaced, retired, by command."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster import assert_installed, build, random_tree, running, states, until
from region import Region


@pytest.fixture(scope="module")
def region() -> Iterator[Region]:
    """A server, two gateways, two endpoints each."""
    with running() as made:
        made.patience = "1s"
        made.add_server()
        for gateway in ("west", "east"):
            made.add_gateway(gateway)
        made.add_endpoints(["w1", "w2"], "west")
        made.add_endpoints(["e1", "e2"], "east")
        yield made


def node(region: Region, name: str) -> dict[str, Any]:
    found: dict[str, Any] = region.cli("node", "show", name)["node"]
    return found


def status(region: Region, name: str) -> dict[str, Any]:
    found: dict[str, Any] = region.cli("node", "status", "--node", name)["status"]
    return found


def online_below(region: Region, name: str, parent: str) -> bool:
    found = node(region, name)
    return found["present"] == parent and found["online"]


def test_children_of_a_dead_gateway_finish_elsewhere_and_come_home(region: Region, tmp_path: Path) -> None:
    source = random_tree(tmp_path / "big", seed=1, files=60, size=16 << 20)
    build(region, source, "big", "1.0")
    size = sum(path.stat().st_size for path in source.rglob("*") if path.is_file())
    until(
        lambda: [c["name"] for c in parents(region, "w1")["candidates"]] == ["east", "server"], "w1 knows where to go"
    )
    for name in ("w1", "w2"):
        region.cli("link", "set", name, "--rate", "6MB/s", "--node", "west")
    job = region.cli("job", "install", "big", "--on", "w1", "--on", "w2", "--on", "e1")["job"]
    until(lambda: status(region, "w1")["traffic"]["chunk_bytes"] > (2 << 20), "w1 holds a part of it")
    region.kill("west")
    held = {name: region_status(region, name)["staging"]["bytes"] for name in ("w1", "w2")}
    assert all(0.05 * size < one < 0.95 * size for one in held.values())
    until(lambda: set(states(region, job).values()) == {"done"}, "all have it", 60)
    for name in ("w1", "w2"):
        assert node(region, name)["present"] == "east"
        assert "west was away" in node(region, name)["reason"]
        got = region_status(region, name)["traffic"]["chunk_bytes"]
        assert size <= got <= 1.01 * size, f"{name} fetched {got} bytes of {size}: some twice"
    assert_installed(region, ["w1", "w2", "e1"], "big", source)
    region.restart("west")
    until(lambda: node(region, "west")["online"], "west is back")
    region.cli("node", "home", "--below", "west")
    until(lambda: all(online_below(region, name, "west") for name in ("w1", "w2")), "they are home")
    shown = region.cli("job", "show", job)["job"]
    assert {t["state"] for t in shown["targets"]} == {"done"}


def parents(region: Region, name: str) -> dict[str, Any]:
    run = region.tool("tiercast_endpoint", "parents", "--state", str(region.daemons[name].folder), "--json")
    found: dict[str, Any] = json.loads(run.stdout)["parents"]
    return found


def region_status(region: Region, name: str) -> dict[str, Any]:
    run = region.tool("tiercast_endpoint", "status", "--state", str(region.daemons[name].folder), "--json")
    found: dict[str, Any] = json.loads(run.stdout)["status"]
    return found
