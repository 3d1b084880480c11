"""An activity plan on real daemons: steps follow each other, over a kill of the server in the middle of one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cluster import running, until

PLAN = """
[[step]]
name = "first"
type = "run"
program = ["/bin/sh", "-c", "while [ ! -e {folder}/go ]; do sleep 0.05; done; echo first >> {folder}/ran"]
on = "pc-1"
expires = "10m"

[[step]]
name = "second"
after = ["first"]
on_failure = "mend"
type = "run"
program = ["/bin/sh", "-c", "echo second >> {folder}/ran; exit 3"]
on = "pc-1"

[[step]]
name = "never"
after = ["second"]
type = "restart"
on = "pc-1"

[[step]]
name = "mend"
type = "run"
program = ["/bin/sh", "-c", "echo mend >> {folder}/ran"]
on = "pc-1"
"""


def test_a_plan_goes_on_over_a_kill_of_the_server(tmp_path: Path) -> None:
    file = tmp_path / "night.toml"
    file.write_text(PLAN.replace("{folder}", str(tmp_path)))
    with running() as region:
        region.add_server()
        region.add_endpoint("pc-1")
        circle = tmp_path / "circle.toml"
        circle.write_text(file.read_text().replace('name = "first"', 'name = "first"\nafter = ["never"]'))
        refused = region.cli("plan", "run", str(circle), check=False)["error"]
        assert (refused["code"], "first -> second -> never -> first" in refused["what"]) == ("plan.cyclic", True)
        plan = region.cli("plan", "run", str(file))["plan"]

        def shown() -> dict[str, Any]:
            found: dict[str, Any] = region.cli("plan", "show", plan)["plan"]
            return found

        region.kill("server")
        (tmp_path / "go").touch()
        region.restart("server")
        until(lambda: shown()["state"] != "running", "the plan ends", 60)
        ended = shown()
        states = {one["step"]: one["state"] for one in ended["steps"]}
        assert states == {"first": "done", "second": "failed", "never": "skipped", "mend": "done"}
        assert ended["state"] == "failed"
        assert (tmp_path / "ran").read_text().split() == ["first", "second", "mend"]
        assert len(region.cli("job", "list")["jobs"]) == 3


EACH = """
[[step]]
name = "first"
type = "run"
program = ["/bin/sh", "-c", "mkdir {folder}/quick 2>/dev/null || while [ ! -e {folder}/go ]; do sleep 0.05; done"]
on = ["pc-1", "pc-2"]

[[step]]
name = "second"
after = ["first"]
per = "target"
type = "run"
program = ["/bin/sh", "-c", "echo second >> {folder}/ran"]
on = ["pc-1", "pc-2"]
"""


def test_a_machine_goes_on_while_another_is_at_work_over_a_kill_of_the_server(tmp_path: Path) -> None:
    file, ran = tmp_path / "each.toml", tmp_path / "ran"
    file.write_text(EACH.replace("{folder}", str(tmp_path)))
    with running() as region:
        region.add_server()
        region.add_endpoint("pc-1")
        region.add_endpoint("pc-2")
        plan = region.cli("plan", "run", str(file))["plan"]

        def steps() -> dict[str, dict[str, Any]]:
            return {one["step"]: one for one in region.cli("plan", "show", plan)["plan"]["steps"]}

        until(lambda: steps()["second"]["counts"] == {"done": 1}, "one machine has done both", 60)
        now = steps()
        assert (now["first"]["state"], now["second"]["state"], now["second"]["left"]) == ("running", "running", 1)
        assert ran.read_text().split() == ["second"]
        region.kill("server")
        (tmp_path / "go").touch()
        region.restart("server")
        until(lambda: region.cli("plan", "show", plan)["plan"]["state"] == "done", "the plan ends", 60)
        assert steps()["second"]["counts"] == {"done": 2}
        assert ran.read_text().split() == ["second", "second"]
