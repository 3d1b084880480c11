"""What makes a job wait is injected, cause after cause, and `why` names it at every tier that can know."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

from cluster import asked, build, random_tree, running, until
from region import Region


def chain(region: Region, job: str, target: str, at: str = "server") -> list[tuple[str, str]]:
    """(code, node that says so) of a target's reasons, as the daemon `at` tells them."""
    found = asked(region, "job.why", at=at, job=job, target=target)
    told = found["jobs"][0] if "jobs" in found else found
    if not told["chain"]:
        return [(told["result"]["code"], "result")]
    for reason in told["chain"]:
        assert reason["says"], reason
        assert reason["freed"], reason
    return [(reason["code"], reason["node"]) for reason in told["chain"]]


def first(region: Region, job: str, target: str, code: str, **by_tier: str) -> None:
    """Each of these tiers says first that `target` waits for `code`; who says so stands beside it."""
    for tier, node in by_tier.items():
        at = tier.replace("_", "-")
        last: list[Any] = []

        def said(at: str = at, node: str = node, last: list[Any] = last) -> bool:
            last[:] = chain(region, job, target, at)
            return last[0] == (code, node)

        try:
            until(said, "the reason", 20)
        except AssertionError as error:
            raise AssertionError(f"{code} of {node}, asked at {at}: {last}") from error


def shut_window() -> str:
    """A window that opens in two hours."""
    at = time.localtime(time.time() + 7200)
    return f"daily {at.tm_hour:02}:00-{at.tm_hour:02}:30"


def set_reserve(region: Region, name: str, size: str) -> None:
    """As an administrator would with an editor: the daemon takes it at its next start."""
    daemon = region.daemons[name]
    file = daemon.folder / f"{daemon.role}.toml"
    text, times = re.subn(r"(?m)^(# *)?reserve = .*$", f'reserve = "{size}"', file.read_text("utf-8"), count=1)
    assert times == 1, file.read_text("utf-8")
    file.write_text(text, "utf-8")


def test_each_cause_of_waiting_is_named_at_the_tiers_that_can_know(tmp_path: Path) -> None:
    source = random_tree(tmp_path / "app", seed=1, files=6, size=3_000_000)
    other = random_tree(tmp_path / "tool", seed=2, files=6, size=3_000_000)
    with running() as region:
        region.add_server()
        region.add_gateway("mid")
        region.add_endpoint("pc-1", "mid")
        build(region, source, "app", "1")
        build(region, other, "tool", "1")

        # a window that is shut: the server says it of its link, and the gateway of its own
        job = region.cli("job", "install", "app", "--on", "pc-1", "--window", shut_window())["job"]
        first(region, job, "pc-1", "window.shut", server="mid", mid="mid")
        assert ("window.shut", "server") in chain(region, job, "pc-1")
        assert chain(region, job, "pc-1", at="pc-1")[0][0] in {"plan", "fetch"}, "the links are known above it"

        # a link that is capped
        region.cli("job", "set", job, "--window", "none", "--rate", "20000")
        first(region, job, "pc-1", "rate", server="server")

        # suspended below the gateway
        region.cli("job", "suspend", job, "--below", "mid")
        first(region, job, "pc-1", "suspended", mid="mid")
        assert "suspended" in dict(chain(region, job, "pc-1"))
        whole = region.cli("why", job)["why"]
        assert [(row["count"], row["examples"]) for row in whole["reasons"]] == [(1, ["pc-1"])]
        shown = region.cli("why", job, "pc-1")["why"]["chain"][0]
        assert shown["code"] == "suspended"
        assert "@server" in shown["facts"]["by"]
        assert shown["since"] > 0
        assert "job resume" in shown["todo"]

        # what a gateway and a machine know themselves, asked over the tree
        assert region.cli("why", job, "pc-1", "--node", "mid")["why"]["chain"][0]["code"] == "suspended"
        assert region.cli("why", job, "--node", "pc-1")["why"]["jobs"][0]["chain"][-1]["node"] == "pc-1"

        # the parent is gone, and the endpoint with it
        region.kill("mid")
        first(region, job, "pc-1", "away", server="server")
        first(region, job, "pc-1", "parent.lost", pc_1="pc-1")
        told = region.tool("tiercast_endpoint", "why", job, "--state", str(region.daemons["pc-1"].folder)).stdout
        assert "pc-1 can't reach its parent mid" in told
        region.kill("pc-1")

        # the endpoint is absent, and the gateway's disk is short
        region.cli("job", "resume", job, "--below", "mid")
        region.cli("job", "set", job, "--rate", "none")
        set_reserve(region, "mid", "900TiB")
        set_reserve(region, "pc-1", "900TiB")
        region.restart("mid")
        first(region, job, "pc-1", "away", mid="mid", server="mid")
        region.restart("pc-1")
        first(region, job, "pc-1", "depot.full", mid="mid", server="mid", pc_1="mid")
        on_the_way = region.cli("why", job, "mid")["why"]
        assert on_the_way["reasons"][0]["code"] == "depot.full"

        # the disk of the endpoint is short: that is an end, with a code
        region.kill("pc-1")
        region.kill("mid")
        set_reserve(region, "mid", "1MiB")
        region.restart("mid")
        region.restart("pc-1")
        first(region, job, "pc-1", "disk.full", server="result", mid="result", pc_1="result")
        assert "are free" in region.cli("why", job, "pc-1")["why"]["result"]["detail"]
        assert region.cli("why", job)["why"]["ended"][0]["code"] == "disk.full"

        # a chunk is missing upstream: every byte of the library is another, and nobody below has it
        region.kill("server")
        for section in (region.daemons["server"].folder / "depot" / "sections").iterdir():
            section.write_bytes(bytes(byte ^ 0xFF for byte in section.read_bytes()))
        region.restart("server")
        job = region.cli("job", "install", "tool", "--on", "pc-1")["job"]
        first(region, job, "pc-1", "chunk.sought", server="server")
        assert "lost" in region.cli("why", job)["why"]["reasons"][0]["says"]
