"""A gateway dies, its children go elsewhere and come home; nodes are moved, replaced, retired, by command."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster import assert_installed, build, random_tree, running, states, until
from region import Daemon, Region, RegionError, free_port


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


def online_below(region: Region, name: str, parent: str) -> bool:
    found = node(region, name)
    return found["present"] == parent and found["online"]


def test_children_of_a_dead_gateway_finish_elsewhere_and_come_home(region: Region, tmp_path: Path) -> None:
    source = random_tree(tmp_path / "big", seed=1, files=60, size=11 << 20)
    build(region, source, "big", "1.0")
    size = sum(path.stat().st_size for path in source.rglob("*") if path.is_file())
    until(
        lambda: [c["name"] for c in parents(region, "w1")["candidates"]] == ["east", "server"], "w1 knows where to go"
    )
    for name in ("w1", "w2"):
        region.cli("link", "set", name, "--rate", "2MB/s", "--node", "west")
    job = region.cli("job", "install", "big", "--on", "w1", "--on", "w2", "--on", "e1")["job"]
    until(lambda: region_status(region, "w1")["staging"]["bytes"] > 0.1 * size, "w1 holds a part of it")
    region.kill("west")
    until(lambda: set(states(region, job).values()) == {"done"}, "all have it", 60)
    for name in ("w1", "w2"):
        assert node(region, name)["present"] == "east"
        assert "west was away" in node(region, name)["reason"]
        traffic = region_status(region, name)["traffic"]
        got, from_east = traffic["chunk_bytes"], traffic["received"]
        assert size <= got <= 1.01 * size, f"{name} fetched {got} bytes of {size}: some twice"
        assert 0.05 * size < from_east < 0.95 * size, f"{name} got {from_east} of {size} bytes from east"
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


def test_a_node_that_is_moved_in_the_midst_of_a_suspended_job_finishes_it_there(region: Region, tmp_path: Path) -> None:
    source = random_tree(tmp_path / "held", seed=2, files=40, size=8 << 20)
    build(region, source, "held", "1.0")
    size = sum(path.stat().st_size for path in source.rglob("*") if path.is_file())
    before = region_status(region, "w1")["traffic"]["chunk_bytes"]
    region.cli("link", "set", "w1", "--rate", "700KB/s", "--node", "west")
    job = region.cli("job", "install", "held", "--on", "w1")["job"]
    until(lambda: region_status(region, "w1")["staging"]["bytes"] > size * 0.1, "w1 holds a part of it")
    region.cli("job", "suspend", job)
    region.cli("node", "move", "w1", "--to", "east")
    until(lambda: online_below(region, "w1", "east"), "w1 is below its new home")
    assert node(region, "w1")["parent"] == "east"
    held = region_status(region, "w1")["staging"]["bytes"]
    assert held < 0.95 * size
    assert set(states(region, job).values()) != {"done"}
    region.cli("job", "resume", job)
    until(lambda: set(states(region, job).values()) == {"done"}, "it is installed", 60)
    assert_installed(region, ["w1"], "held", source)
    assert region_status(region, "w1")["traffic"]["chunk_bytes"] - before <= 1.01 * size
    with pytest.raises(RegionError, match="circle"):
        region.cli("node", "move", "east", "--to", "east")


def test_a_dead_gateway_is_replaced_by_a_new_machine_and_another_retires(region: Region, tmp_path: Path) -> None:
    region.kill("west")
    until(lambda: online_below(region, "w2", "east"), "w2 found another parent")
    token = region.cli("node", "replace", "west")["token"]
    new = Daemon("west", "gateway", "server", region.folder / "west2", free_port())
    listen = ("--listen", f"127.0.0.1:{new.port}", "--broker", region.broker)
    region.tool("tiercast_gateway", "join", token, "--state", str(new.folder), *listen)
    region.daemons["west"] = new
    region.start(new)
    until(lambda: node(region, "west")["online"], "the new machine is there")
    region.cli("node", "home", "w2")
    until(lambda: online_below(region, "w2", "west"), "w2 is below the new machine")
    assert parents(region, "w2")["url"].endswith(f":{new.port}")
    region.cli("node", "retire", "east", "--children-to", "west")
    until(lambda: "east" not in {n["name"] for n in region.cli("node", "list")["nodes"]}, "east has retired")
    source = random_tree(tmp_path / "small", seed=3, files=5, size=1 << 20)
    build(region, source, "small", "1.0")
    everyone = ["w1", "w2", "e1", "e2"]
    job = region.cli("job", "install", "small", *(word for name in everyone for word in ("--on", name)), "--watch")
    assert job["job"]["counts"] == {"done": 4}
    assert_installed(region, everyone, "small", source)


@pytest.mark.long
def test_a_new_machine_at_the_old_address_has_its_children_without_a_word(tmp_path: Path) -> None:
    """Where a node can reach nobody else: its only other candidate is dead too."""
    with running() as region:
        region.add_server()
        for name in ("north", "other"):
            region.add_gateway(name)
        region.add_endpoint("n1", "north")
        region.cli("node", "candidates", "n1", "--set", "other")
        region.kill("other")
        region.kill("north")
        old = region.daemons["north"]
        token = region.cli("node", "replace", "north")["token"]
        new = Daemon("north", "gateway", "server", region.folder / "north2", old.port)
        listen = ("--listen", f"127.0.0.1:{old.port}", "--broker", region.broker)
        region.tool("tiercast_gateway", "join", token, "--state", str(new.folder), *listen)
        region.daemons["north"] = new
        region.start(new)
        until(lambda: online_below(region, "n1", "north"), "n1 is below the new machine")
        source = random_tree(tmp_path / "small", seed=4, files=5, size=1 << 20)
        build(region, source, "small", "1.0")
        assert region.cli("job", "install", "small", "--on", "n1", "--watch")["job"]["counts"] == {"done": 1}
        assert_installed(region, ["n1"], "small", source)


@pytest.mark.long
def test_an_address_that_nobody_could_tell_is_told_by_hand_and_proved(tmp_path: Path) -> None:
    """The gateway's machine got another address while the endpoint was off, and no other candidate lives."""
    with running() as region:
        region.add_server()
        for name in ("north", "other"):
            region.add_gateway(name)
        region.add_endpoint("n1", "north")
        region.cli("node", "candidates", "n1", "--set", "other")
        until(lambda: [c["name"] for c in parents(region, "n1")["candidates"]] == ["other"], "n1 has its list")
        for name in ("n1", "other", "north"):
            region.kill(name, signal.SIGTERM)
        north, old = region.daemons["north"], region.daemons["north"].port
        settings = north.folder / "gateway.toml"
        north.port = free_port()
        settings.write_text(settings.read_text("utf-8").replace(f":{old}", f":{north.port}"), "utf-8")
        region.start(north)
        region.start(region.daemons["n1"])
        until(
            lambda: [one["said"] for one in parents(region, "n1")["tried"] if "refused" in one["said"]], "it was tried"
        )
        shown = parents(region, "n1")
        assert {one["name"] for one in shown["tried"]} == {"north", "other"}
        assert "tiercast-endpoint parent set HOST:PORT" in shown["todo"]
        at = ("--state", str(region.daemons["n1"].folder), "--json")
        server = region.daemons["server"].port
        for wrong, code in ((old, "parent.unreachable"), (server, "parent.unreachable")):
            run = region.tool("tiercast_endpoint", "parent", "set", f"127.0.0.1:{wrong}", *at, check=False)
            assert json.loads(run.stdout)["error"]["code"] == code
        run = region.tool("tiercast_endpoint", "parent", "set", f"127.0.0.1:{north.port}", *at)
        found = json.loads(run.stdout)["parents"]
        assert (found["connected"], found["parent"], found["todo"]) == (True, "north", "")
        source = random_tree(tmp_path / "small", seed=5, files=5, size=1 << 20)
        build(region, source, "small", "1.0")
        assert region.cli("job", "install", "small", "--on", "n1", "--watch")["job"]["counts"] == {"done": 1}
        assert_installed(region, ["n1"], "small", source)
