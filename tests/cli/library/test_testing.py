"""`tiercast package test`: install, show, undo, and write the test down."""

from __future__ import annotations

from typing import Any

from cli_daemon import Daemon
from tiercast_protocol.errors import UsageError

PACKAGE = {"package": "editor", "version": "2.1", "revision": 1}
DONE = {"job": "j", "state": "done", "counts": {"done": 1}, "targets": [], "hops": [], "type": "install"}


def prepare(
    daemon: Daemon,
    before: str = "",
    failing: str = "",
    needs: dict[str, str] | None = None,
    revision: int = 0,
) -> list[dict[str, Any]]:
    standing = {"editor": before, **(needs or {})}
    ordered: list[dict[str, Any]] = []

    def create(args: dict[str, Any]) -> dict[str, Any]:
        if args.get("dry_run"):
            return {"targets": 1, "needs": [{"package": f"{name}=3", "nodes": ["pc-1"]} for name in needs or ()]}
        ordered.append(args)
        return {"job": f"j{len(ordered)}", "targets": 1, "follows": False, "needs": []}

    def receipt(args: dict[str, Any]) -> dict[str, Any]:
        state = "failed" if args["job"] == failing else "done"
        program = {"argv": ["./after.sh"], "exit": 0, "seconds": 1.5, "output": "ready\n", "timed_out": False}
        return {"state": state, "code": "", "detail": "", "programs": [program]}

    daemon.answers |= {
        "package.show": PACKAGE,
        "package.standing": lambda args: {"version": standing[args["package"]], "revision": revision},
        "job.create": create,
        "job.receipt": receipt,
        "package.tested": {"package": "editor=2.1/1", "job": "j1", "undo": "j2", "node": "pc-1"},
    }
    daemon.streams["job.watch"] = [DONE]
    return ordered


def test_a_whole_test(daemon: Daemon) -> None:
    ordered = prepare(daemon)
    said = daemon.run("package", "test", "editor", "--on", "pc-1")
    assert [(one["type"], one["package"], one["test"]) for one in ordered] == [
        ("install", "editor=2.1/1", True),
        ("remove", "editor", True),
    ]
    assert daemon.asked[-1] == ("package.tested", {"package": "editor=2.1/1", "job": "j1", "undo": "j2"})
    for line in ("Installation on pc-1 (j1): done", "./after.sh ended with 0", "ready", "nothing of it stands there"):
        assert line in said
    assert "is tested: 2 jobs" in said


def test_what_stood_there_comes_back(daemon: Daemon) -> None:
    ordered = prepare(daemon, before="1.9")
    found = daemon.json("package", "test", "editor", "--on", "pc-1")
    assert (ordered[1]["type"], ordered[1]["package"]) == ("install", "editor=1.9")
    assert ordered[1]["options"] == {"replace": "any"}
    assert found["test"]["undo"] == "j2"


def test_a_failed_installation_is_no_test(daemon: Daemon) -> None:
    ordered = prepare(daemon, failing="j1")
    daemon.run("package", "test", "editor", "--on", "pc-1", code=4)
    assert len(ordered) == 1
    assert "package.tested" not in [verb for verb, _ in daemon.asked]


def test_kept(daemon: Daemon) -> None:
    ordered = prepare(daemon)
    found = daemon.json("package", "test", "editor", "--on", "pc-1", "--keep")
    assert len(ordered) == 1
    assert "test" not in found


def test_what_it_needed_is_taken_back_with_it(daemon: Daemon) -> None:
    ordered = prepare(daemon, needs={"runtime": "", "fonts": "1"})
    said = daemon.run("package", "test", "editor", "--on", "pc-1")
    assert [(one["type"], one["package"]) for one in ordered[2:]] == [("install", "fonts=1"), ("remove", "runtime")]
    assert "What it needed was taken back (j4, remove): done" in said
    ordered = prepare(daemon, needs={"runtime": ""}, failing="j3")
    assert "test" in daemon.json("package", "test", "editor", "--on", "pc-1", code=4)


def test_what_stands_there_already_is_not_tested(daemon: Daemon) -> None:
    ordered = prepare(daemon, before="2.1")
    error = daemon.json("package", "test", "editor", "--on", "pc-1", code=1)["error"]
    assert (error["code"], ordered) == ("test.there", [])
    ordered = prepare(daemon, before="2.1", revision=1)
    error = daemon.json("package", "test", "editor", "--on", "pc-1", code=1)["error"]
    assert (error["code"], ordered) == ("test.there", [])


def test_another_revision_of_what_stands_is_tested_and_the_former_comes_back(daemon: Daemon) -> None:
    ordered = prepare(daemon, before="2.1", revision=7)
    said = daemon.run("package", "test", "editor", "--on", "pc-1")
    assert [one["package"] for one in ordered] == ["editor=2.1/1", "editor=2.1/7"]
    assert "editor=2.1/7 stands there again" in said


def test_what_could_not_be_put_back_is_not_begun(daemon: Daemon) -> None:
    ordered = prepare(daemon, before="1.9")

    def show(args: dict[str, Any]) -> dict[str, Any]:
        if args["package"] != "editor":
            raise UsageError("package.unknown", "There is no editor=1.9.")
        return PACKAGE

    daemon.answers["package.show"] = show
    error = daemon.json("package", "test", "editor", "--on", "pc-1", code=1)["error"]
    assert (error["code"], ordered) == ("test.former", [])
