"""What a site decides while the centre is gone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cluster import asked, running, until
from region import Region


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


def test_a_bad_package_is_stopped_inside_a_site_that_is_cut_off(tmp_path: Path) -> None:
    with running() as region:
        region.add_server()
        region.add_gateway("berlin")
        for name in ("pc-1", "pc-2"):
            region.add_endpoint(name, "berlin")
        region.cli("package", "build", str(bad_package(tmp_path)))
        region.cli("job", "preload", "bad", "--on", "berlin", "--watch")
        region.kill("pc-1")
        region.kill("pc-2")
        made = region.cli(
            "rollout", "start", "bad", "--target", "below berlin", "--wave", "rest", "--stop-at-site", "1"
        )
        rollout, (job,) = made["rollout"], made["jobs"]
        until(lambda: job in str(asked(region, "job.list", at="berlin")), "the order is at the site")
        region.kill("server")

        region.start(region.daemons["pc-1"])
        until(lambda: asked(region, "rollout.show", at="berlin", rollout=rollout)["state"] == "held", "it is held")
        assert records(region, job)["pc-1"]["state"] == "failed"
        region.kill("berlin")
        region.start(region.daemons["berlin"])
        region.start(region.daemons["pc-2"])
        why = ("why", job, "pc-2")
        until(lambda: region.cli(*why, at="berlin")["why"]["chain"][0]["code"] == "breaker.open", "the site says why")
        assert (
            "1 of 2 targets failed there, and it stops at 1" in region.cli(*why, at="berlin")["why"]["chain"][0]["says"]
        )
        assert "pc-2" not in records(region, job), "it heard nothing of it"

        region.start(region.daemons["server"])
        held = until(lambda: region.cli("rollout", "show", rollout)["rollout"]["held"], "the server hears of it")
        assert [(one["node"], one["bad"], one["total"]) for one in held] == [("berlin", 1, 2)]
        assert region.cli(*why)["why"]["chain"][0]["code"] == "breaker.open"
        region.cli("rollout", "resume", rollout)
        until(lambda: records(region, job).get("pc-2", {}).get("state") == "failed", "it goes on by a person's word")
