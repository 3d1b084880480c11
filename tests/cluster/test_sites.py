"""What a site decides while the centre is gone."""

from __future__ import annotations

import re
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster import (
    KEEPALIVE,
    asked,
    assert_balanced,
    assert_installed,
    build,
    content_bytes,
    random_tree,
    running,
    states,
    until,
)
from region import Region


@pytest.fixture(scope="module")
def region() -> Iterator[Region]:
    """A server, a site, and two machines there; every test leaves it so."""
    with running() as made:
        made.add_server()
        made.add_gateway("berlin")
        for name in ("pc-1", "pc-2"):
            made.add_endpoint(name, "berlin")
        yield made


def bad_package(folder: Path) -> Path:
    """A package whose program fails on every machine."""
    (folder / "app").mkdir(parents=True)
    (folder / "app" / "after.sh").write_text("#!/bin/sh\nexit 7\n")
    (folder / "app" / "after.sh").chmod(0o755)
    (folder / "app" / "package.toml").write_text('name = "bad"\nversion = "1"\n[run_after]\nargv = ["./after.sh"]\n')
    return folder / "app"


def records(region: Region, job: str) -> dict[str, Any]:
    """What the gateway knows of each target."""
    return {one["target"]: one for one in asked(region, "job.show", at="berlin", job=job)["records"]}


def label(region: Region, name: str, text: str) -> None:
    """The owner writes a label into the agent's settings, and starts it again."""
    region.kill(name)
    file = region.daemons[name].folder / "endpoint.toml"
    text = re.sub(r"(?m)^#? ?labels = .*$", f"labels = {{{text}}}", file.read_text("utf-8"))
    file.write_text(text, "utf-8")
    region.restart(name)


def test_a_machine_that_comes_to_be_meant_is_served_by_its_site_alone(region: Region, tmp_path: Path) -> None:
    tree = random_tree(tmp_path / "app", seed=1, files=3, size=20_000)
    build(region, tree, "app", "1")
    label(region, "pc-1", 'site = "berlin"')
    region.cli("group", "create", "tagged", "--where", "has(labels.site)")
    until(lambda: region.cli("group", "show", "tagged")["group"]["members"] == ["pc-1"], "pc-1 is in the group")
    job = region.cli("job", "install", "app", "--group", "tagged", "--watch")["job"]["job"]
    region.kill("server")

    label(region, "pc-2", 'site = "berlin"')
    until(lambda: records(region, job).get("pc-2", {}).get("state") == "done", "the site added it by itself")
    assert_installed(region, ["pc-2"], "app", tree)
    assert [one["node"] for one in region.cli("job", "show", job, at="berlin")["job"]["joined"]] == ["pc-2"]
    region.kill("berlin")
    region.start(region.daemons["berlin"])
    region.start(region.daemons["server"])
    until(lambda: states(region, job) == {"pc-1": "done", "pc-2": "done"}, "the server adopts target and receipt")
    assert region.cli("job", "show", job)["job"]["counts"] == {"done": 2}


def test_the_window_of_a_group_holds_on_its_members_until_it_is_taken_back(region: Region, tmp_path: Path) -> None:
    tree = random_tree(tmp_path / "late", seed=5, files=2, size=10_000)
    build(region, tree, "late", "1")
    region.cli("group", "create", "night", "pc-1")
    hour = (time.localtime().tm_hour + 11) % 24
    window = f"daily {hour:02}:00-{hour:02}:30"
    assert region.cli("group", "set", "night", "--window", window)["told"] == 1
    job = region.cli("job", "install", "late", "--on", "pc-1", "--on", "pc-2")["job"]

    def reason() -> dict[str, Any]:
        found: list[dict[str, Any]] = asked(region, "job.why", job=job, target="pc-1").get("chain", [])
        return found[0] if found else {"code": ""}

    until(lambda: reason()["code"] == "window.shut", "the machine in the group waits")
    assert f"{window} (group night)" in reason()["says"]
    until(lambda: states(region, job)["pc-2"] == "done", "the other one does not")
    assert region.cli("node", "show", "pc-1")["node"]["windows"] == [{"group": "night", "window": window}]
    assert region.cli("group", "show", "night")["group"]["window"] == window
    region.kill("pc-1")
    region.start(region.daemons["pc-1"])
    region.cli("group", "set", "night", "--window", "none")
    until(lambda: states(region, job)["pc-1"] == "done", "nothing holds it any more")


def bulk(region: Region) -> int:
    """Bytes of content that the site received over the link above it, ever: both ends agree."""
    link = assert_balanced(region)["server -> berlin"]
    return int(link["arrived"])


def test_an_undo_moves_nothing_over_the_link_above_the_site(region: Region, tmp_path: Path) -> None:
    trees = [random_tree(tmp_path / f"tool-{n}", seed=10 + n, files=4, size=700_000) for n in (1, 2)]
    for number, tree in enumerate(trees, 1):
        build(region, tree, "tool", str(number))
    both = ("--on", "pc-1", "--on", "pc-2")
    assert region.cli("job", "install", "tool=1", *both, "--watch")["job"]["state"] == "done"
    made = region.cli("rollout", "start", "tool=2", *both, "--wave", "rest")["rollout"]
    until(lambda: asked(region, "rollout.show", rollout=made)["state"] == "done", "it is rolled out")
    assert_installed(region, ["pc-1", "pc-2"], "tool", trees[1])
    region.kill("pc-2", signal.SIGTERM)  # this one lost its former tree: it must come from the gateway
    lost = [
        tree for tree in region.apps("pc-2").glob(".trees/tool/*") if tree != (region.apps("pc-2") / "tool").resolve()
    ]
    assert lost
    for tree in lost:
        shutil.rmtree(tree)
    region.restart("pc-2")
    region.cli("depot", "evict", "--node", "berlin")  # all that nothing keeps
    before, carried = bulk(region), content_bytes(region, "berlin")
    assert carried > 1_400_000, "all of both versions came over this connection"

    undone = region.cli("rollout", "undo", made)["rollout"]
    until(lambda: asked(region, "rollout.show", rollout=undone)["state"] == "done", "it is taken back")
    assert_installed(region, ["pc-1", "pc-2"], "tool", trees[0])
    assert bulk(region) == before
    assert content_bytes(region, "berlin") - carried <= KEEPALIVE, "by the kernel's count"


def test_a_bad_package_is_stopped_inside_a_site_that_is_cut_off(region: Region, tmp_path: Path) -> None:
    region.cli("package", "build", str(bad_package(tmp_path)))
    region.cli("job", "preload", "bad", "--on", "berlin", "--watch")
    region.kill("pc-1")
    region.kill("pc-2")
    made = region.cli("rollout", "start", "bad", "--target", "below berlin", "--wave", "rest", "--stop-at-site", "1")
    rollout, (job,) = made["rollout"], made["jobs"]
    until(lambda: job in str(asked(region, "job.list", at="berlin")), "the order is at the site")
    region.kill("server")

    region.start(region.daemons["pc-1"])
    until(lambda: asked(region, "rollout.show", at="berlin", rollout=rollout)["state"] == "held", "it is held")
    assert records(region, job)["pc-1"]["state"] == "failed"
    region.kill("berlin")
    region.start(region.daemons["berlin"])
    region.start(region.daemons["pc-2"])

    def first(at: str) -> dict[str, Any]:
        chain: list[dict[str, Any]] = asked(region, "job.why", at=at, job=job, target="pc-2")["chain"]
        return chain[0]

    until(lambda: first("berlin")["code"] == "breaker.open", "the site says why")
    assert "1 of 2 targets failed there, and it stops at 1" in first("berlin")["says"]
    assert "pc-2" not in records(region, job), "it heard nothing of it"

    region.start(region.daemons["server"])
    held = until(lambda: asked(region, "rollout.show", rollout=rollout)["held"], "the server hears of it")
    assert [(one["node"], one["bad"], one["total"]) for one in held] == [("berlin", 1, 2)]
    until(lambda: first("server")["code"] == "breaker.open", "the server says why")
    region.cli("rollout", "resume", rollout)
    until(lambda: records(region, job).get("pc-2", {}).get("state") == "failed", "it goes on by a person's word")
