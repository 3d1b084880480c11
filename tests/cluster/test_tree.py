"""A whole tree: server, repeater, two gateways, four endpoints; one copy per link, and nobody waits for the dead."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster import assert_balanced, assert_installed, build, random_tree, running, states, until
from region import Region

ENDPOINTS = ["north-1", "north-2", "south-1", "south-2"]


@pytest.fixture(scope="module", params=["embedded", "mosquitto"], name="region")
def _region(request: pytest.FixtureRequest) -> Iterator[Region]:
    with running(request.param) as region:
        region.add_server()
        region.add_gateway("repeater")
        for gateway in ("north", "south"):
            region.add_gateway(gateway, "repeater")
            for number in (1, 2):
                region.add_endpoint(f"{gateway}-{number}", gateway)
        region.cli("group", "create", "all", *ENDPOINTS)
        yield region


def test_one_copy_crosses_each_link_and_an_upgrade_only_what_is_new(region: Region, tmp_path: Path) -> None:
    source = random_tree(tmp_path / "app", seed=1, files=150, size=12_000_000)
    package = build(region, source, "app", "1")
    meter = region.meter()
    meter.restart()
    assert region.cli("job", "install", "app=1", "--group", "all", "--watch")["job"]["counts"] == {"done": 4}
    for link, count in meter.bytes().items():
        assert count <= 1.02 * package["stored_bytes"], link
    assert_installed(region, ENDPOINTS, "app", source)

    for number in (3, 30):
        path = next(source.rglob(f"file-{number:03}.bin"))
        path.write_bytes(path.read_bytes()[:-5000] + bytes(5000))
    upgrade = build(region, source, "app", "2")
    meter.restart()
    assert region.cli("job", "install", "app=2", "--group", "all", "--watch")["job"]["counts"] == {"done": 4}
    for link, count in meter.bytes().items():
        assert count <= 1.2 * upgrade["sent_bytes"] + 16_384, link
    assert_installed(region, ENDPOINTS, "app", source)


def test_what_was_preloaded_crosses_the_thin_link_only_once(region: Region, tmp_path: Path) -> None:
    source = random_tree(tmp_path / "early", seed=2, files=10, size=3_000_000)
    package = build(region, source, "early", "1")
    preload = region.cli("job", "preload", "early", "--on", "north", "--watch")["job"]
    assert preload["counts"] == {"done": 1}, preload
    held = next(p for p in region.cli("depot", "show", "--node", "north")["depot"]["packages"] if p["name"] == "early")
    assert held["held"] == held["total"]
    meter = region.meter()
    meter.restart()
    assert region.cli("job", "install", "early", "--on", "north-1", "--watch")["job"]["counts"] == {"done": 1}
    carried = meter.bytes()
    assert carried["repeater -> north"] < 64_000
    assert carried["server -> repeater"] < 64_000
    assert carried["north -> north-1"] >= package["stored_bytes"]
    region.cli("job", "remove", "early", "--on", "north-1", "--watch")
    purge = region.cli("job", "purge", "early", "--on", "north", "--watch")["job"]
    assert purge["counts"] == {"done": 1}, purge
    packages = region.cli("depot", "show", "--node", "north")["depot"]["packages"]
    assert not [p for p in packages if p["name"] == "early" and p["held"]]


def test_a_stopped_endpoint_holds_up_nobody_and_ends_well_when_it_is_back(region: Region, tmp_path: Path) -> None:
    source = random_tree(tmp_path / "wait", seed=3, files=40, size=12_000_000)
    build(region, source, "wait", "1")
    region.daemons["north-2"].process.send_signal(signal.SIGSTOP)
    job = region.cli("job", "install", "wait", "--group", "all")["job"]
    others = [name for name in ENDPOINTS if name != "north-2"]
    until(lambda: all(states(region, job)[name] == "done" for name in others), "the others are done")
    assert states(region, job)["north-2"] != "done"
    region.daemons["north-2"].process.send_signal(signal.SIGCONT)
    assert region.cli("job", "watch", job)["job"]["counts"] == {"done": 4}
    assert_installed(region, ENDPOINTS, "wait", source)
    assert_balanced(region)


def test_an_absent_endpoint_is_waited_for_and_a_cancel_ends_the_waiting(region: Region, tmp_path: Path) -> None:
    source = random_tree(tmp_path / "late", seed=4, files=3, size=100_000)
    build(region, source, "late", "1")
    region.kill("south-2", signal.SIGTERM)
    first = region.cli("job", "install", "late", "--on", "south-2", "--on", "south-1")["job"]
    until(lambda: states(region, first)["south-1"] == "done", "the one who is there is done")
    region.cli("job", "cancel", first)
    region.restart("south-2")
    ended = region.cli("job", "watch", first, check=False)["job"]
    assert ended["counts"] == {"done": 1, "cancelled": 1}, ended
    second = region.cli("job", "install", "late", "--on", "south-2", "--watch")["job"]
    assert second["counts"] == {"done": 1}
    assert_installed(region, ["south-1", "south-2"], "late", source)
