"""From what a machine says of itself to a job for it, and for those who come later."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster import asked, assert_installed, build, random_tree, running, states, until
from region import Region, RegionError


@pytest.fixture(name="site")
def _site() -> Iterator[Region]:
    with running() as region:
        region.add_server()
        region.add_gateway("berlin")
        for name in ("pc-1", "pc-2"):
            region.add_endpoint(name, "berlin")
        yield region


def endpoint(region: Region, name: str, *words: str) -> dict[str, Any]:
    """What `tiercast-endpoint` of that machine answers."""
    folder = str(region.daemons[name].folder)
    done = region.tool("tiercast_endpoint", *words, "--state", folder, "--json", check=False)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_facts_lead_to_jobs_and_later_ones_to_more(site: Region, tmp_path: Path) -> None:
    source = random_tree(tmp_path / "app", seed=1, files=5, size=200_000)
    build(site, source, "app", "1")
    until(lambda: len(asked(site, "inventory.list")["nodes"]) == 2, "both said what they are")
    site.cli("group", "create", "linux", "--where", 'os == "linux" && name != "pc-2"')
    site.cli("group", "create", "testers", "--self-join")
    target = "below berlin and group linux, testers"
    dry = site.cli("job", "install", "app", "--target", target, "--dry-run")["dry_run"]
    assert (dry["targets"], dry["sites"]) == (1, [{"site": "berlin", "targets": 1, "nodes": ["pc-1"]}])
    job = site.cli("job", "install", "app", "--target", target, "--watch")["job"]
    assert (job["state"], job["counts"], job["follows"]) == ("done", {"done": 1}, True)

    # One machine asks to be let in, another comes new: both get what their group got.
    assert endpoint(site, "pc-2", "group", "join", "nowhere")["error"]["code"] == "group.refused"
    assert endpoint(site, "pc-2", "group", "join", "testers")["group"]["state"] == "joined"
    site.add_endpoint("pc-3", "berlin")
    late = {"pc-1": "done", "pc-2": "done", "pc-3": "done"}
    until(lambda: states(site, job["job"]) == late, "those who came later have it")
    assert_installed(site, ["pc-1", "pc-2", "pc-3"], "app", source)
    assert asked(site, "job.show", job=job["job"])["state"] == "done"

    installed = 'where ("app" in packages && packages.app == "1")'
    until(lambda: len(asked(site, "inventory.list", target=installed)["nodes"]) == 3, "they say that they have it")
    with pytest.raises(RegionError, match="speed"):
        site.cli("job", "install", "app", "--target", "where (speed > 1)")
