"""The owner's word through real daemons: choosing, putting off and refusing while the centre is gone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cluster import asked, assert_installed, build, random_tree, running, until
from region import Region


def owner(region: Region, *words: str, at: str = "pc-1", check: bool = True) -> Any:
    """What `tiercast-endpoint ... --json` answers on the machine."""
    done = region.tool(
        "tiercast_endpoint", *words, "--state", str(region.daemons[at].folder), "--json", check=check, at=at
    )
    return json.loads(done.stdout.strip().splitlines()[-1])


def code(region: Region, job: str, target: str = "pc-1") -> str:
    """What the server knows that a target waits for, or ended with."""
    (row,) = (row for row in asked(region, "job.show", job=job)["targets"] if row["node"] == target)
    return f"{row['state']} {row['code']}".strip()


def test_an_owner_chooses_and_puts_off_and_all_of_it_counts_while_the_centre_is_gone(tmp_path: Path) -> None:
    app = random_tree(tmp_path / "app", seed=1, files=6, size=400_000)
    tool = random_tree(tmp_path / "tool", seed=2, files=3, size=100_000)
    definition = tmp_path / "needy.toml"
    definition.write_text('name = "needy"\nversion = "1"\ncondition = "cpus > 0"\nrequires = ["tool >= 1"]\n')
    with running() as region:
        region.add_server()
        region.add_gateway("mid")
        region.add_endpoint("pc-1", "mid")
        build(region, app, "app", "1")
        build(region, tool, "tool", "1")
        region.cli("package", "build", str(tool), "-f", str(definition))
        region.cli("job", "preload", "app", "--on", "mid", "--watch")

        offer = region.cli("job", "offer", "app", "--on", "pc-1")["job"]
        limited = region.cli(
            *("job", "install", "tool", "--on", "pc-1", "--defer-max", "1", "--rejectable"),
            *("--condition", "disk_free > 0 && cpus > 0", "--install-when", "shutdown"),
        )["job"]
        never = region.cli("job", "install", "app", "--on", "pc-1", "--condition", "cpus > 100000")["job"]
        needy = region.cli("job", "install", "needy", "--on", "pc-1")["job"]
        until(lambda: code(region, offer) == "waiting offer.open", "it is offered", 20)
        until(lambda: code(region, never) == "ordered condition.false", "it is not true", 20)
        until(lambda: code(region, limited) == "staged agent.stop", "it is prepared", 20)
        until(lambda: code(region, needy) == "staged dependency.open", "what it needs is on its way", 20)
        said = region.cli("why", never, "pc-1")["why"]["chain"][0]
        assert said["facts"]["condition"] == "cpus > 100000"
        assert "cpus = " in said["facts"]["values"]

        region.kill("server")
        assert [row["job"] for row in owner(region, "offers")["offers"]] == [offer]
        owner(region, "accept", offer)
        until(lambda: not owner(region, "offers")["offers"], "it is installed from the gateway", 30)
        assert_installed(region, ["pc-1"], "app", app)
        deferred = owner(region, "defer", limited, "--for", "2h")["deferred"]
        assert (deferred["times"], deferred["left"]) == (1, 0)
        spent = owner(region, "defer", limited, "--for", "1h", check=False)
        assert spent["error"]["code"] == "owner.spent"
        assert "deferred 1 of 1 times" in spent["error"]["what"]

        region.kill("mid")
        region.kill("pc-1")
        region.restart("pc-1")
        rows = {row["job"]: row for row in owner(region, "list")["list"]["jobs"]}
        assert rows[limited]["deferrals"] == 1, "it survives the kill, with nobody above"
        assert rows[limited]["chain"][0]["code"] == "owner.deferred"
        owner(region, "reject", limited)
        until(lambda: limited not in {row["job"] for row in owner(region, "list")["list"]["jobs"]}, "it is over", 20)

        region.restart("mid")
        region.restart("server")
        until(lambda: code(region, offer) == "done", "the receipts come up", 60)
        until(lambda: code(region, limited) == "rejected owner.rejected", "and the refusal", 30)
        until(lambda: code(region, needy) == "staged dependency.failed", "and what that means for another", 30)
        chain = region.cli("why", needy, "pc-1")["why"]["chain"]
        (told,) = (reason["says"] for reason in chain if reason["code"] == "dependency.failed")
        assert f"{limited}, which was to install it, ended rejected owner.rejected" in told
        assert region.cli("job", "rerun", limited, "--failed")["targets"] == 1
