"""Cancel and rerun at the command line."""

from __future__ import annotations

from cli_daemon import Daemon


def test_a_cancel_says_where_and_how(daemon: Daemon) -> None:
    daemon.answers["job.cancel"] = {"job": "j1", "again": False, "targets": []}
    assert "is being cancelled;" in daemon.run("job", "cancel", "j1")
    assert daemon.asked[-1] == ("job.cancel", {"job": "j1", "nodes": [], "groups": [], "below": [], "force": False})
    daemon.answers["job.cancel"] = {"job": "j1", "again": False, "targets": ["pc-1", "pc-2"]}
    where = ("--on", "pc-1", "--group", "sales", "--below", "berlin", "--force")
    assert "on 2 nodes" in daemon.run("job", "cancel", "j1", *where)
    asked = {"job": "j1", "nodes": ["pc-1"], "groups": ["sales"], "below": ["berlin"], "force": True}
    assert daemon.asked[-1] == ("job.cancel", asked)


def test_a_rerun_names_its_origin_and_what_was_left_out(daemon: Daemon) -> None:
    daemon.answers["job.rerun"] = {
        "job": "j2",
        "origin": "j1",
        "targets": 3,
        "gone": ["pc-9"],
        "dropped": ["install_at"],
    }
    said = daemon.run("job", "rerun", "j1", "--failed", "--expires", "7d")
    asked = {"job": "j1", "failed": True, "unreached": False, "expires_s": 7 * 86_400}
    assert daemon.asked[-1] == ("job.rerun", asked)
    for words in ("Job j2: j1 again, on 3 nodes.", "install-at", "pc-9", "tiercast job watch j2"):
        assert words in said


def test_a_rerun_of_nobody_is_refused_before_anything_is_asked(daemon: Daemon) -> None:
    asked = len(daemon.asked)
    said = daemon.run("job", "rerun", "j1", code=2)
    assert "--failed" in said
    assert len(daemon.asked) == asked
