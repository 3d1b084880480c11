"""Transfers are steered while they run: split, suspended with a whole sub-tree, gone on with; nothing is sent twice."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from cluster import asked, assert_installed, build, random_tree, running, until
from region import Region

#: What keepalives, credit and status may put on an idle link in a second.
IDLE = 4_000


def refused(region: Region, *words: str) -> dict[str, Any]:
    """The error of a command that must be refused."""
    done = region.tool("tiercast_cli", "--socket", str(region.daemons["server"].socket), *words, "--json", check=False)
    assert done.returncode == 2, done.stdout + done.stderr
    error: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])["error"]
    return error


def target(region: Region, job: str, node: str) -> dict[str, Any]:
    """What the server knows of one target."""
    rows: list[dict[str, Any]] = asked(region, "job.show", job=job)["targets"]
    return next(row for row in rows if row["node"] == node)


def test_a_subtree_is_suspended_and_goes_on_where_it_was(tmp_path: Path) -> None:
    big = random_tree(tmp_path / "big", seed=1, files=12, size=6_000_000)
    small = random_tree(tmp_path / "small", seed=2, files=3, size=300_000)
    with running() as region:
        region.add_server()
        region.add_gateway("mid")
        region.add_gateway("low", "mid")
        region.add_endpoint("pc-1", "low")
        stored = build(region, big, "big", "1")["stored_bytes"]
        build(region, small, "small", "1")

        error = refused(region, "job", "install", "big", "--on", "pc-1", "--segment", "1GiB", "--pause", "5s")
        assert error["code"] == "transfer.segment"
        assert f"{stored:,}" in error["what"]
        error = refused(region, "job", "install", "big", "--on", "pc-1", "--rate", "2000", "--expires", "60s")
        assert error["code"] == "transfer.rate"
        assert "119,880" in error["what"] or "120,000" in error["what"]

        before = region.meter()
        before.restart()
        terms = ("--segment", "512KiB", "--pause", "1s")
        job = region.cli("job", "install", "big", "--on", "pc-1", *terms)["job"]
        until(lambda: target(region, job, "pc-1")["done"] > 0, "the first segment")
        region.cli("node", "suspend", "mid")
        quiet = region.meter()
        quiet.restart()
        began = time.monotonic()
        until(lambda: time.monotonic() - began > 3, "three pauses would have passed")
        passed = time.monotonic() - began
        assert max(quiet.bytes().values()) < IDLE * passed, quiet.bytes()
        spent = before.bytes()

        region.kill("mid")
        region.restart("mid")
        holds = region.cli("node", "holds", "--node", "mid")["holds"]
        assert [(hold["node"], hold["job"]) for hold in holds] == [("", "")]
        until(lambda: "@server" in target(region, job, "pc-1")["detail"], "who suspended it")
        assert target(region, job, "pc-1")["code"] == "suspended"

        words = ("--priority", "9", "--pass-suspended", "--watch")
        assert region.cli("job", "install", "small", "--on", "pc-1", *words)["job"]["counts"] == {"done": 1}
        assert target(region, job, "pc-1")["state"] == "fetching"

        after = region.meter()
        after.restart()
        region.cli("node", "resume", "mid")
        region.cli("job", "set", job, "--segment", "none", "--pause", "none")
        assert region.cli("job", "watch", job)["job"]["counts"] == {"done": 1}
        assert_installed(region, ["pc-1"], "big", big)
        for link, count in after.bytes().items():
            assert spent[link] + count < stored * 1.02 + 150_000, (link, spent[link], count)
