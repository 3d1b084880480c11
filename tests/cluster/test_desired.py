"""The desired state through real daemons: applied, installed, broken by hand, put right, exported and applied again."""

from __future__ import annotations

import shutil
from pathlib import Path

from cluster import asked, assert_installed, build, random_tree, running, until

FILE = """\
[group.all]
members = ["pc-1", "pc-2"]
[assignment.app]
group = "all"
has = "app >= 1"
"""


def test_what_is_desired_stands_and_is_put_right(tmp_path: Path) -> None:
    with running() as site:
        site.add_server()
        site.add_gateway("berlin")
        for name in ("pc-1", "pc-2"):
            site.add_endpoint(name, parent="berlin")
        tree = random_tree(tmp_path / "app", seed=1, files=3, size=30_000)
        build(site, tree, "app", "1")
        file = tmp_path / "region.toml"
        file.write_text(FILE)

        def counts() -> dict[str, int]:
            (one,) = asked(site, "assignment.list")
            found: dict[str, int] = one["counts"]
            return found

        def jobs() -> list[str]:
            return [one["job"] for one in asked(site, "job.list", folder="desired/app")]

        until(lambda: len(asked(site, "inventory.list")["nodes"]) == 2, "both said what they are")
        dry = site.cli("apply", "-f", str(file), "--dry-run")["dry_run"]
        assert (dry["machines"][0]["counts"], dry["targets"]) == ({"missing": 2}, 2)
        assert site.cli("apply", "-f", str(file))["apply"]["number"] == 1
        until(lambda: counts() == {"holds": 2}, "both have it")
        assert_installed(site, ["pc-1", "pc-2"], "app", tree)
        assert len(jobs()) == 1

        def at_berlin() -> dict[str, int]:
            """What the gateway told the server of its children."""
            (one,) = asked(site, "assignment.show", assignment="app")["sites"]
            found: dict[str, int] = one["counts"]
            return found

        until(lambda: at_berlin() == {"holds": 2}, "the gateway says so")
        out = tmp_path / "out.toml"
        site.cli("export", "-o", str(out))
        again = site.cli("apply", "-f", str(out), "--prune")["apply"]
        assert (again["changes"], again["number"], again["targets"]) == ([], 0, 0)

        # a job that undoes it is refused; what is done by hand is found, and waits for a word: it was put right before
        refused = site.cli("job", "remove", "app", "--on", "pc-1", check=False)
        assert refused["error"]["code"] == "job.assigned"
        shutil.rmtree((site.apps("pc-1") / "app").resolve())
        site.cli("job", "inventory", "--on", "pc-1", "--watch")
        until(lambda: counts() == {"holds": 1, "failed": 1}, "the drift is seen")
        until(lambda: at_berlin() == {"holds": 1, "missing": 1}, "by the gateway too")
        (row,) = asked(site, "assignment.show", assignment="app")["machines"]
        assert (row["node"], row["code"]) == ("pc-1", "assignment.undone")
        site.cli("assignment", "retry", "app")
        until(lambda: counts() == {"holds": 2}, "it is put right")
        assert_installed(site, ["pc-1", "pc-2"], "app", tree)
        assert len(jobs()) == 2

        # a server that is killed knows all of it, and makes no second job
        site.kill("server")
        (here,) = site.cli("assignment", "list", at="berlin")["assignments"]
        assert (here["says"], here["targets"]) == ("has app >= 1", 2), "the gateway knows it alone"
        site.start(site.daemons["server"])
        until(lambda: counts() == {"holds": 2}, "it looked again")
        assert len(jobs()) == 2
        assert [one["how"] for one in asked(site, "desired.history")] == ["apply"]
