"""Lists of jobs, what is shown of one, and receipts, as people read them."""

from __future__ import annotations

import time

from cli_daemon import Daemon, snapshot


def test_list_show_cancel_delete(daemon: Daemon) -> None:
    job = snapshot("failed", 10)
    job["targets"][0] |= {"code": "disk.short", "detail": "3 GiB needed, 1 GiB free"}
    daemon.answers |= {"job.list": [job | {"targets": 1}], "job.show": job}
    assert "failed:1" in daemon.run("job", "list")
    said = daemon.run("job", "show", "j1")
    assert "disk.short 3 GiB needed" in said
    assert "berlin" in said
    assert "being cancelled" in daemon.run("job", "cancel", "j1")
    assert "forgotten" in daemon.run("job", "delete", "j1")


def test_a_receipt_shows_what_the_programs_printed(daemon: Daemon) -> None:
    daemon.answers["job.receipt"] = {
        "node": "pc-1",
        "state": "failed",
        "programs": [
            {"argv": ["./before.sh"], "exit": 3, "seconds": 0.2, "timed_out": False, "output": b"no licence\n"}
        ],
    }
    said = daemon.run("job", "receipt", "j1", "pc-1")
    assert "$ ./before.sh   exit 3" in said
    assert "no licence" in said
    assert daemon.json("job", "receipt", "j1", "pc-1")["receipt"]["state"] == "failed"


def test_a_gateway_shows_the_jobs_that_pass_it(daemon: Daemon) -> None:
    order = {
        "job": "j1",
        "revision": 1,
        "type": "install",
        "package": "editor",
        "version": "2.1",
        "expires": 1_800_000_000_000,
        "open": True,
        "targets": 2,
        "waiting": ["no route to pc-9"],
    }
    record = {"target": "pc-1", "state": "fetching", "done": 1, "total": 4, "code": "", "detail": ""}
    daemon.answers |= {"job.list": [order | {"state": "open"}], "job.show": order | {"records": [record]}}
    assert "editor 2.1" in daemon.run("job", "list")
    said = daemon.run("job", "show", "j1")
    assert "install editor 2.1  open here" in said
    assert "25%" in said
    assert "no route to pc-9" in said


def test_a_receipt_is_for_reading(daemon: Daemon) -> None:
    daemon.answers["job.receipt"] = {"node": "pc-1", "code": "", "finished": 1_800_000_000_000, "receipt": b"x" * 50}
    said = daemon.run("job", "receipt", "j1", "pc-1")
    assert "finished  2027-01-1" in said
    assert "code" not in said
    assert "receipt" not in said


def test_a_list_says_what_is_wanted(daemon: Daemon) -> None:
    job = snapshot("open", 10) | {"targets": 1, "package": "", "version": "", "about": "x" * 80, "folder": "a/b"}
    daemon.answers["job.list"] = [job | {"cancelling": True, "state": "open"}]
    said = daemon.run(
        *(
            "job",
            "list",
            "--state",
            "open",
            "--state",
            "draft",
            "--type",
            "run",
            "--package",
            "editor",
            "--since",
            "1h",
        ),
        *("--target", "pc-1", "--folder", "a", "--search", "df"),
    )
    assert "x" * 57 + "..." in said
    assert "cancelling" in said
    assert "a/b" in said
    asked = daemon.asked[0][1]
    assert time.time() * 1000 - 3_700_000 < asked.pop("since") < time.time() * 1000 - 3_500_000
    assert asked == {
        "limit": 50,
        "states": ["open", "draft"],
        "types": ["run"],
        "package": "editor",
        "target": "pc-1",
        "folder": "a",
        "search": "df",
    }
    assert "--since" in daemon.run("job", "list", "--since", "soon", code=2)


def test_targets_come_page_after_page_and_some_alone(daemon: Daemon) -> None:
    job = snapshot("done", 10)
    (row,) = job["targets"]
    chosen = {"held": 0, "until": 1 << 50, "times": 1, "answer": "", "by": "alice", "at": 5, "prefers": False}
    pages = [
        job | {"targets": [row | {"node": "pc-1"}], "left_out": 1, "next": "pc-1"},
        job | {"targets": [row | {"node": "pc-2", "owner": chosen}], "left_out": 1, "next": ""},
    ]
    daemon.answers["job.show"] = lambda args: pages[1] if args.get("after") else pages[0]
    shown = daemon.json("job", "show", "j1")["job"]
    assert [target["node"] for target in shown["targets"]] == ["pc-1", "pc-2"]
    assert shown["left_out"] == 0
    assert daemon.asked[-1] == ("job.show", {"job": "j1", "after": "pc-1", "alone": True})
    said = daemon.run("job", "show", "j1", "--deferred", "--on", "pc-2")
    assert daemon.asked[-2][1] == {"job": "j1", "on": ["pc-2"], "chosen": True}
    assert "(alice: deferred once, until" in said
