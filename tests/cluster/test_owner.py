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
    checked = tmp_path / "checked.toml"
    flag = tmp_path / "licence"
    checked.write_text(
        'name = "checked"\nversion = "1"\ndescription = "Has a check"\n'
        f'[check]\nargv = ["/bin/sh", "-c", "test -e {flag} || {{ echo no licence; exit 3; }}"]\n'
        'needs = "machine"\nevery = "1s"\n'
    )
    with running() as region:
        region.add_server()
        region.add_gateway("mid")
        region.add_endpoint("pc-1", "mid")
        hook = tmp_path / "told"
        hook.write_text(f"#!/bin/sh\necho $TIERCAST_EVENT $TIERCAST_JOB >> {tmp_path}/events\n")
        hook.chmod(0o755)
        config = region.daemons["pc-1"].folder / "endpoint.toml"
        text = config.read_text().replace("program = []", f'program = ["{hook}"]')
        assert str(hook) in text
        config.write_text(text)
        region.kill("pc-1")
        region.restart("pc-1")
        build(region, app, "app", "1")
        build(region, tool, "tool", "1")
        region.cli("package", "build", str(tool), "-f", str(definition))
        region.cli("package", "build", str(tool), "-f", str(checked))
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
        licensed = region.cli("job", "install", "checked", "--on", "pc-1")["job"]
        until(lambda: code(region, licensed) == "waiting check.false", "its check says no before the fetch", 20)
        flag.touch()
        until(lambda: code(region, licensed) == "done", "and yes", 20)
        (row,) = region.cli("job", "show", licensed, "--on", "pc-1", "--json")["job"]["targets"]
        assert row["detail"] == "Its check /bin/sh said yes."
        (program, *_) = region.cli("job", "receipt", licensed, "pc-1")["receipt"]["programs"]
        assert program["exit"] == 0
        until(lambda: any(row["job"] == never for row in asked(region, "job.list")), "it is here")
        passed = {row["job"] for row in asked(region, "job.list", at="mid")}
        assert never not in passed, "where nothing fits not even the order comes to the gateway"
        said = region.cli("why", never, "pc-1")["why"]["chain"][0]
        assert said["facts"]["condition"] == "cpus > 100000"
        assert "cpus = " in said["facts"]["values"]

        region.kill("server")
        (offered,) = owner(region, "offers")["offers"]
        assert (offered["job"], offered["size"] > 100_000) == (offer, True)
        owner(region, "accept", offer)
        until(lambda: not owner(region, "offers")["offers"], "it is installed from the gateway", 30)
        assert_installed(region, ["pc-1"], "app", app)
        deferred = owner(region, "defer", limited, "--for", "2h")["deferred"]
        assert (deferred["times"], deferred["left"]) == (1, 0)
        counts = until(
            lambda: _counts(region, at="mid")["deferred"] and _counts(region, at="mid"), "the gateway counts it"
        )
        assert (counts["targets"], counts["times"]) == (1, 1)
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
        events = (tmp_path / "events").read_text().split("\n")
        assert f"offered {offer}" in events
        assert f"ended {offer}" in events
        history = owner(region, "history", "--package", "app")["history"]
        assert (history[0]["job"], history[0]["state"]) == (offer, "done")
        (chose,) = asked(region, "job.show", job=limited, chosen=True)["targets"]
        assert (chose["owner"]["times"], chose["owner"]["answer"]) == (1, "rejected")
        assert _counts(region, at="server", ended=True)["rejected"] == 1
        assert region.cli("job", "rerun", limited, "--failed")["targets"] == 1


def _counts(region: Region, *, at: str, ended: bool = False) -> dict[str, int]:
    counts: dict[str, int] = asked(region, "owner.said", at=at, ended=ended)["counts"]
    return counts
