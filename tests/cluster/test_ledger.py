"""The ledger of real daemons: even on every link, and in agreement with the kernel's own counters."""

from __future__ import annotations

import csv
import signal
from pathlib import Path

import pytest

from cluster import assert_balanced, build, random_tree, running
from region import Region

BOTH = ("pc-1", "pc-2")


def install(region: Region, package: str) -> str:
    targets = [word for name in BOTH for word in ("--on", name)]
    job = region.cli("job", "install", package, *targets, "--watch")["job"]
    assert job["counts"] == {"done": 2}, job
    return str(job["job"])


@pytest.mark.parametrize("broker", ["mosquitto"])
def test_the_books_of_every_link_agree_with_each_other_and_with_the_kernel(broker: str, tmp_path: Path) -> None:
    source = random_tree(tmp_path / "app", seed=1, files=30, size=6_000_000)
    with running(broker) as region:
        region.add_server()
        region.add_gateway("gateway")
        region.add_endpoints(BOTH, "gateway")
        stored = build(region, source, "app", "1")["stored_bytes"]
        meter = region.meter()
        meter.restart()
        job = install(region, "app=1")

        links = assert_balanced(region)
        assert region.cli("ledger", "check")["balanced"]
        carried = meter.bytes()
        assert links.keys() == carried.keys()
        for name, one in links.items():
            assert one["published"] == one["arrived"] == one["useful"], name
            assert one["lost"] == one["surplus"] == one["wasted"] == one["under_way"] == 0, name
            # what the ledger says is what the kernel says, but for the protocol's own words
            assert one["arrived"] < one["kernel"] <= carried[name] + 65_536, name
            assert one["overhead"] <= 0.01 * one["arrived"] + 16_384, name
            assert abs(carried[name] - one["arrived"]) <= 0.02 * stored + 65_536, name

        # a killed gateway leaves books that still explain everything
        region.kill("gateway", signal.SIGKILL)
        region.restart("gateway")
        for path in [path for path in (source / "part-0").rglob("*") if path.is_file()]:
            path.write_bytes(path.read_bytes()[::-1])
        build(region, source, "app", "2")
        install(region, "app=2")
        assert_balanced(region)

        file = tmp_path / "gateway.csv"
        region.cli("ledger", "show", "--node", "gateway", "--job", job, "--csv", str(file))
        with file.open(newline="") as written:
            rows = list(csv.DictReader(written))
        fetched = sum(int(row["bytes"]) for row in rows if (row["side"], row["reason"]) == ("came", "stored"))
        sent = sum(int(row["bytes"]) for row in rows if (row["side"], row["reason"]) == ("sent", "first"))
        assert fetched == links["server -> gateway"]["arrived"]
        assert sent == sum(links[f"gateway -> {name}"]["arrived"] for name in BOTH)
        assert {row["reason"] for row in rows} >= {"from above"}
