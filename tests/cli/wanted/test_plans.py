"""`tiercast plan ...`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cli_daemon import Daemon
from tiercast_cli.wanted.plans import tree
from tiercast_protocol.errors import UsageError

PLAN = """
name = "night"
[[step]]
name = "a"
type = "restart"
on = "pc-1"
[[step]]
name = "b"
after = ["a"]
type = "install"
package = "editor"
on = "pc-1"
"""


def step(name: str, *after: str, state: str = "waiting", **more: Any) -> dict[str, Any]:
    row = {"step": name, "after": list(after), "on_failure": "stop", "type": "install", "about": "editor=2"}
    return {**row, "state": state, "since": 1, "job": "", "code": "", "detail": "", "targets": 0, "counts": {}, **more}


SHOWN = {
    "plan": "p1-ab12",
    "name": "night",
    "note": "for the printers",
    "state": "running",
    "by": "ann",
    "created": 1_800_000_000_000,
    "ended": 0,
    "steps": [
        step("a", state="done", job="j7-ab12", counts={"done": 2}, on_failure="mend"),
        step("b", "a", state="failed", code="job.empty", detail="No targets."),
        step("c", "b", "a", why={"code": "plan.step", "says": "comes after b"}),
        step("mend", state="skipped"),
        step("d", per="target", left=3, counts={"done": 1}),
    ],
}


@pytest.fixture(name="file")
def _file(tmp_path: Path) -> str:
    file = tmp_path / "night.toml"
    file.write_text(PLAN)
    return str(file)


def test_check_and_run_ask_with_the_whole_plan(daemon: Daemon, file: str) -> None:
    looked = {"name": "night", "steps": [{"step": "a", "type": "restart", "targets": 1}]}
    daemon.answers |= {
        "plan.check": looked,
        "plan.run": {"plan": "p1-ab12", "name": "night", "steps": 2, "jobs": {"a": "j7-ab12"}},
    }
    assert "nothing wrong; nothing was ordered." in daemon.run("plan", "check", file)
    assert daemon.json("plan", "check", file)["check"] == looked
    said = daemon.run("plan", "run", file)
    assert "a began: job j7-ab12" in said
    assert "tiercast plan show p1-ab12" in said
    verb, asked = daemon.asked[-1]
    assert (verb, asked["name"], [one["name"] for one in asked["steps"]]) == ("plan.run", "night", ["a", "b"])
    assert asked["steps"][1]["job"]["package"] == "editor"
    assert [verb for verb, _ in daemon.asked] == ["plan.check", "plan.check", "plan.run"], "no job by itself"


def test_a_plan_on_the_standard_input(daemon: Daemon) -> None:
    daemon.answers["plan.check"] = {"name": "night", "steps": []}
    daemon.run("plan", "check", "-", stdin=PLAN)
    assert daemon.asked[0][1]["name"] == "night"


def test_a_tree_is_drawn(daemon: Daemon) -> None:
    daemon.answers["plan.show"] = SHOWN
    said = daemon.run("plan", "show", "1")
    for line in (
        "plan p1-ab12  night  running",
        "for the printers",
        "a        done     j7-ab12  install editor=2  done:2",
        "├─ b     failed   -        install editor=2                    job.empty: No targets.",
        "│  └─ c  waiting  -        install editor=2                    also after a; comes after b",
        "└─ mend  skipped  -        install editor=2                    if a fails",
        "d        waiting  -        install editor=2  done:1 to come:3  each machine by itself",
    ):
        assert line in said, said
    assert daemon.json("plan", "show", "p1")["plan"] == SHOWN


def test_a_long_chain_can_be_drawn() -> None:
    chain = [step("s0"), *(step(f"s{n}", f"s{n - 1}") for n in range(1, 2_000))]
    assert [row[0].strip("└─│ ") for row in tree(chain)] == [one["step"] for one in chain]


def test_list_and_cancel(daemon: Daemon) -> None:
    listed = SHOWN | {"steps": {"done": 1, "waiting": 2}}
    daemon.answers |= {
        "plan.list": [listed],
        "plan.cancel": {"plan": "p1-ab12", "again": False, "jobs": ["j7-ab12"]},
    }
    assert "done:1 waiting:2" in daemon.run("plan", "list", "--limit", "3")
    assert daemon.asked[-1] == ("plan.list", {"limit": 3})
    assert daemon.json("plan", "list")["plans"] == [listed]
    assert "with 1 open job: j7-ab12." in daemon.run("plan", "cancel", "p1")
    assert daemon.json("plan", "cancel", "p1")["jobs"] == ["j7-ab12"]


def test_watch_says_what_moves(daemon: Daemon) -> None:
    first = SHOWN | {"steps": [step("a", state="running", counts={"ordered": 2}), step("b", per="target", left=2)]}
    last = first | {"state": "failed", "ended": 1_800_000_100_000}
    last["steps"] = [step("a", state="failed", counts={"done": 1, "failed": 1}), step("b", state="done")]
    daemon.streams["plan.watch"] = [first, last]
    said = daemon.run("plan", "watch", "1", code=4).splitlines()
    assert said == [
        "a  running  ordered:2",
        "b  waiting  to come:2",
        "a  failed  done:1 failed:1",
        "b  done",
        "plan p1-ab12: failed",
    ]
    assert daemon.json("plan", "watch", "1", code=4)["plan"] == last


def test_suspend_resume_delete_and_rerun(daemon: Daemon) -> None:
    plan = {"plan": "p1-ab12", "again": False}
    rerun = {**plan, "name": "night", "steps": 1, "jobs": {}, "origin": "p1", "dropped": {"b": ["install_at"]}}
    daemon.answers |= {"plan.suspend": plan, "plan.resume": plan, "plan.delete": plan, "plan.rerun": rerun}
    assert "is suspended." in daemon.run("plan", "suspend", "1")
    assert "goes on." in daemon.run("plan", "resume", "1")
    assert "its jobs stay" in daemon.run("plan", "delete", "1")
    said = daemon.run("plan", "rerun", "1", "--failed")
    assert "b: over, and left out: install_at" in said
    assert daemon.asked[-1] == ("plan.rerun", {"plan": "1", "failed": True})
    for verb in ("suspend", "resume", "delete", "rerun"):
        assert daemon.json("plan", verb, "1")["plan"] == "p1-ab12"
        assert f"tiercast plan {verb}" in daemon.run("plan", verb, "--help")


def test_mistakes_are_told_and_leave_with_their_code(daemon: Daemon, file: str, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.toml"
    wrong.write_text(PLAN.replace('package = "editor"', 'packet = "editor"'))
    said = daemon.run("plan", "run", str(wrong), code=2)
    assert "The key `packet` is unknown" in said
    assert "step 'b'" in said
    assert daemon.json("plan", "check", str(wrong), code=2)["error"]["code"] == "file.key"
    assert daemon.asked == []
    daemon.answers["plan.run"] = UsageError("plan.cyclic", "In a circle: a -> a.", todo="Mend it.")
    assert "a -> a" in daemon.run("plan", "run", file, code=2)
