"""What makes a job wait is injected, cause after cause, and `why` names it at every tier: first-hand, or as told above.

Every tier is asked about the target, and about itself: also the one that is the cause.

Twelve causes: window shut, link capped, parent gone, condition false, disk short, deferred by the owner, suspended,
gate shut, breaker open, chunk missing upstream, endpoint absent, dependency failed; and a cancel that lets a program
finish.
"""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import pytest

from cluster import asked, build, random_tree, running, until
from region import Region

ALL = ("server", "mid", "pc-1")


def told(region: Region, job: str, target: str, at: str = "server") -> dict[str, Any]:
    """What the daemon `at` answers at its socket."""
    found: dict[str, Any] = asked(region, "job.why", at=at, job=job, target=target)
    for one in (found, *found.get("jobs", ()), *found.get("above", ())):
        for reason in one.get("chain", ()):
            assert reason["says"], reason
            assert reason["freed"], reason
    return found


def chain(region: Region, job: str, target: str, at: str = "server") -> list[tuple[str, str]]:
    """(code, node that says so) of a target's reasons, as the daemon `at` knows them first-hand."""
    found = told(region, job, target, at)
    own = found["jobs"][0] if found.get("jobs") else found
    if not own.get("chain"):
        return [((own.get("result") or {"code": "unknown"})["code"], "result")]
    return [(reason["code"], reason["node"]) for reason in own["chain"]]


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


def named(region: Region, job: str, target: str, code: str, *tiers: str) -> None:
    """Each of these sockets names `code` for `target`, and for itself: out of what it knows, or was told from above."""
    asked_of = [
        (at, about) for at in tiers or ALL for about in dict.fromkeys((target, at if job[0] == "j" else target))
    ]
    for at, about in asked_of:
        last: list[str] = []

        def said(at: str = at, about: str = about, last: list[str] = last) -> bool:
            try:
                found = told(region, job, about, at)
            except AssertionError as error:  # the order is not there yet, and those above are busy
                last[:] = [str(error)]
                return False
            parts = (found, *found.get("jobs", ()), *found.get("above", ()))
            rows = ("chain", "reasons", "ended")
            last[:] = [reason["code"] for one in parts for row in rows for reason in one.get(row, ())]
            last += [one["result"]["code"] for one in parts if one.get("result")]
            return code in last

        try:
            until(said, "the reason", 20)
        except AssertionError as error:
            raise AssertionError(f"{code} of {about}, asked at {at}: {last}") from error


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


def packages(region: Region, folder: Path) -> None:
    """Three plain ones, one that fails on every machine, and one that needs it."""
    build(region, random_tree(folder / "app", seed=1, files=6, size=3_000_000), "app", "1")
    build(region, random_tree(folder / "tool", seed=2, files=6, size=3_000_000), "tool", "1")
    build(region, random_tree(folder / "more", seed=3, files=2, size=100_000), "more", "1")
    for name, text in (("bad", '[run_after]\nargv = ["./after.sh"]'), ("needy", 'requires = ["bad"]')):
        (folder / name).mkdir()
        (folder / name / "after.sh").write_text("#!/bin/sh\nexit 7\n")
        (folder / name / "after.sh").chmod(0o755)
        (folder / name / "package.toml").write_text(f'name = "{name}"\nversion = "1"\n{text}\n')
        region.cli("package", "build", str(folder / name))


@pytest.mark.timeout(900)  # on a very busy machine; some 40 s on a quiet one
def test_each_cause_of_waiting_is_named_at_every_tier(tmp_path: Path) -> None:
    with running() as region:
        region.add_server()
        region.add_gateway("mid")
        region.add_endpoints(["pc-1", "pc-2"], "mid")
        packages(region, tmp_path)

        # a condition that is not true, and a job that its owner put off
        job = region.cli("job", "install", "app", "--on", "pc-1", "--condition", "cpus > 100000")["job"]
        named(region, job, "pc-1", "condition.false")
        asked(region, "job.cancel", job=job)
        job = region.cli("job", "restart", "--on", "pc-1", "--install-when", "shutdown")["job"]
        first(region, job, "pc-1", "agent.stop", pc_1="pc-1")
        until_ = int((time.time() + 3600) * 1000)
        asked(region, "owner.defer", at="pc-1", job=job, until=until_)
        named(region, job, "pc-1", "owner.deferred")
        shown = told(region, job, "pc-1")["chain"][0]
        assert (shown["until"], shown["facts"]["times"]) == (until_, 1)
        asked(region, "job.cancel", job=job)

        # a program that is let finish, though its job is cancelled
        options = {"argv": '["/bin/sleep","600"]', "run_timeout_s": 600}
        job = asked(region, "job.create", type="run", targets=["pc-1"], options=options)["job"]
        first(region, job, "pc-1", "program", pc_1="pc-1")
        asked(region, "job.cancel", job=job)
        first(region, job, "pc-1", "cancel.waits", server="pc-1", mid="pc-1", pc_1="pc-1")
        shown = told(region, job, "pc-1")["chain"][0]
        assert shown["facts"]["program"] == "/bin/sleep 600"
        assert "--force" in shown["todo"]
        asked(region, "job.cancel", job=job, force=True)
        until(lambda: asked(region, "job.show", job=job)["state"] == "cancelled", "it was killed", 60)

        # a gate that is shut, a breaker that is open, and what a failed package means for one that needs it
        waves = ("--target", "node pc-1, pc-2", "--wave", "node pc-2", "--wave", "rest")
        rollout = region.cli("rollout", "start", "bad", *waves, "--by-hand", "--stop-at", "1")["rollout"]
        named(region, rollout, "pc-1", "breaker.open")
        gate = region.cli("rollout", "start", "tool", *waves, "--by-hand")["rollout"]
        named(region, gate, "pc-1", "gate.shut")
        text = region.tool("tiercast_endpoint", "why", gate, "--state", str(region.daemons["pc-1"].folder)).stdout
        assert "server says: gate.shut" in text
        asked(region, "rollout.cancel", rollout=gate)
        needed = region.cli("job", "install", "needy", "--on", "pc-1")
        first(region, needed["job"], "pc-1", "dependency.failed", pc_1="pc-1")
        named(region, needed["job"], "pc-1", "dependency.failed")
        assert needed["needs"][0]["job"] in told(region, needed["job"], "pc-1")["chain"][0]["says"]

        # a window that is shut: the server says it of its link, and the gateway of its own
        job = region.cli("job", "install", "app", "--on", "pc-1", "--window", shut_window())["job"]
        first(region, job, "pc-1", "window.shut", server="mid", mid="mid")
        assert ("window.shut", "server") in chain(region, job, "pc-1")
        assert chain(region, job, "pc-1", at="pc-1")[0][0] in {"plan", "fetch"}, "the links are known above it"
        named(region, job, "pc-1", "window.shut")

        # a link that is capped
        region.cli("job", "set", job, "--window", "none", "--rate", "20000")
        until(lambda: ("rate", "server") in chain(region, job, "pc-1"), "the server says it of its link", 20)
        named(region, job, "pc-1", "rate")

        # suspended below the gateway
        region.cli("job", "suspend", job, "--below", "mid")
        first(region, job, "pc-1", "suspended", mid="mid", server="mid")
        named(region, job, "pc-1", "suspended")
        whole = asked(region, "job.why", job=job)
        assert [(row["count"], row["examples"]) for row in whole["reasons"]] == [(1, ["pc-1"])]
        shown = region.cli("why", job, "pc-1")["why"]["chain"][0]
        assert shown["code"] == "suspended"
        assert "@server" in shown["facts"]["by"]
        assert shown["since"] > 0
        assert "job resume" in shown["todo"]

        # what a gateway and a machine know themselves, asked over the tree
        assert asked(region, "job.why", job=job, target="pc-1", node="mid")["chain"][0]["code"] == "suspended"
        assert asked(region, "job.why", job=job, node="pc-1")["jobs"][0]["chain"][-1]["node"] == "pc-1"
        other = asked(region, "job.why", at="pc-2", job=gate)
        assert {reason["peer"] for one in other["above"] for reason in one["chain"]} <= {"pc-2"}, "of itself alone"

        # the parent is gone, and the endpoint with it
        region.kill("mid")
        first(region, job, "pc-1", "away", server="server")
        first(region, job, "pc-1", "parent.lost", pc_1="pc-1")
        assert asked(region, "job.why", job=job, target="mid")["chain"][0]["code"] == "away", "of the one that is gone"
        text = region.tool("tiercast_endpoint", "why", job, "--state", str(region.daemons["pc-1"].folder)).stdout
        assert "pc-1 can't reach its parent mid" in text
        region.kill("pc-1")

        # the endpoint is absent, and the gateway's disk is short
        region.cli("job", "resume", job, "--below", "mid")
        region.cli("job", "set", job, "--rate", "none")
        set_reserve(region, "mid", "900TiB")
        region.restart("mid")
        first(region, job, "pc-1", "away", mid="mid", server="mid")
        region.restart("pc-1")
        first(region, job, "pc-1", "depot.full", mid="mid", server="mid", pc_1="mid")
        named(region, job, "pc-1", "depot.full")
        on_the_way = told(region, job, "mid")
        assert on_the_way["reasons"][0]["code"] == "depot.full"

        # the disk of the endpoint is short: that is an end, with a code
        asked(region, "job.cancel", job=job)
        region.kill("mid")
        set_reserve(region, "mid", "1MiB")
        region.restart("mid")
        region.kill("pc-1")
        set_reserve(region, "pc-1", "900TiB")
        region.restart("pc-1")
        job = region.cli("job", "install", "more", "--on", "pc-1")["job"]
        first(region, job, "pc-1", "disk.full", server="result", mid="result", pc_1="result")
        assert "are free" in told(region, job, "pc-1")["result"]["detail"]
        assert asked(region, "job.why", job=job)["ended"][0]["code"] == "disk.full"

        # a chunk is missing upstream: every byte of the library is another, and nobody below has it
        region.kill("server")
        named(region, needed["job"], "pc-1", "dependency.failed", "mid", "pc-1")
        for section in (region.daemons["server"].folder / "depot" / "sections").iterdir():
            section.write_bytes(bytes(byte ^ 0xFF for byte in section.read_bytes()))
        region.restart("server")
        job = region.cli("job", "install", "tool", "--on", "pc-1")["job"]
        first(region, job, "pc-1", "chunk.sought", server="server")
        named(region, job, "pc-1", "chunk.sought")
        assert "lost" in asked(region, "job.why", job=job)["reasons"][0]["says"]
