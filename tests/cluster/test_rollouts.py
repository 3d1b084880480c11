"""A rollout through real daemons: its gate, a server that is killed between two waves, and back again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cluster import asked, assert_installed, build, random_tree, running, until


def test_a_rollout_goes_on_after_a_kill_and_comes_back(tmp_path: Path) -> None:
    with running() as site:
        site.add_server()
        for name in ("pc-1", "pc-2"):
            site.add_endpoint(name)
        trees = [random_tree(tmp_path / f"app-{n}", seed=n, files=3, size=30_000) for n in (1, 2)]
        for number, tree in enumerate(trees, 1):
            build(site, tree, "app", str(number))
        assert site.cli("job", "install", "app=1", "--on", "pc-1", "--watch")["job"]["state"] == "done"

        waves = ("--target", "below server", "--wave", "node pc-1", "--wave", "rest")
        made = site.cli("rollout", "start", "app=2", *waves, "--by-hand", "--stop-at", "1")
        rollout = made["rollout"]

        def shown(which: str = rollout) -> dict[str, Any]:
            found: dict[str, Any] = asked(site, "rollout.show", rollout=which)
            return found

        until(lambda: shown()["waves"][0]["counts"] == {"done": 1}, "the first wave is done")
        (reason,) = site.cli("why", rollout, "pc-2")["why"]["chain"]
        assert reason["code"] == "gate.shut"
        site.kill("server")
        site.start(site.daemons["server"])
        assert len(site.cli("rollout", "next", rollout)["jobs"]) == 1
        until(lambda: shown()["state"] == "done", "the rollout is done")
        assert_installed(site, ["pc-1", "pc-2"], "app", trees[1])

        undone = site.cli("rollout", "undo", rollout)["rollout"]
        until(lambda: shown(undone)["state"] == "done", "the undo is done")
        assert [wave["counts"] for wave in shown(undone)["waves"]] == [{"done": 1}, {"done": 1}]
        assert_installed(site, ["pc-1"], "app", trees[0])
        assert not (site.apps("pc-2") / "app").exists()
