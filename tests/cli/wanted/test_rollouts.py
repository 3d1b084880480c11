"""`tiercast rollout ...`."""

from __future__ import annotations

from typing import Any

import pytest

from cli_daemon import Daemon

SHOWN: dict[str, Any] = {
    "rollout": "r3-5d1a",
    "undoes": "",
    "package": "editor",
    "version": "2.1",
    "state": "stopped",
    "said": "1 of 1 targets failed; it stops at 5%",
    "begun": 1,
    "waves": [
        {"wave": 1, "text": "1", "targets": 1, "state": "ended", "counts": {"failed": 1}, "jobs": ["j7-1"]},
        {"wave": 2, "text": "rest", "targets": 9, "state": "not begun", "counts": {}, "jobs": []},
    ],
    "rules": {"go_on": "95%", "soak_s": 3600, "by_hand": True, "stop_at": "5%"},
    "gate": {"code": "breaker.open", "says": "it stopped", "freed": "another comes", "todo": "look"},
    "held": [{"node": "berlin", "since": 1_700_000_000_000, "bad": 3, "total": 40, "stop_at": "5%"}],
    "failed": [{"node": f"pc-{n}", "wave": 1, "state": "failed", "code": "c", "detail": "d"} for n in range(30)],
}


def test_start_asks_for_the_waves_in_order(daemon: Daemon) -> None:
    daemon.answers["rollout.start"] = {"rollout": "r3-5d1a", "waves": [1, 9], "jobs": ["j7-1"]}
    words = ("rollout", "start", "editor", "--group", "sales", "--wave", "1", "--wave", "rest", "--stop-at", "5%")
    told = daemon.run(*words, "--soak", "1h", "--go-on", "95%", "--priority", "9", "--by-hand")
    assert "Rollout r3-5d1a: editor on 10 nodes in 2 waves (1, 9); the first has begun." in told
    verb, args = daemon.asked[0]
    assert verb == "rollout.start"
    assert args == {
        "package": "editor",
        "targets": [],
        "groups": ["sales"],
        "waves": ["1", "rest"],
        "go_on": "95%",
        "soak_s": 3600,
        "by_hand": True,
        "stop_at": "5%",
        "stop_at_site": "",
        "note": "",
        "expires_s": 30 * 86_400,
        "options": {"priority": 9},
    }
    assert daemon.json(*words)["rollout"] == "r3-5d1a"


def test_a_dry_run_shows_how_many_and_who(daemon: Daemon) -> None:
    names = [f"pc-{n}" for n in range(9)]
    sites = [{"site": "berlin", "targets": 9, "nodes": names}]
    wave = {"wave": 1, "text": "rest", "targets": 9, "sites": sites, "unknown": {}, "confirm": False}
    daemon.answers["rollout.start"] = {"targets": 9, "sites": sites, "unknown": {}, "confirm": True, "waves": [wave]}
    words = ("rollout", "start", "editor", "--on", "pc-1", "--wave", "rest", "--dry-run")
    told = daemon.run(*words)
    assert "9 targets in 1 wave; nothing was ordered." in told
    assert "pc-0, pc-1" in told
    assert "and 1 more" in told
    assert "--confirm=9" in told
    assert daemon.json(*words)["dry_run"]["targets"] == 9


def test_show_says_why_it_stopped_and_who_failed(daemon: Daemon) -> None:
    daemon.answers |= {"rollout.show": SHOWN, "rollout.list": [SHOWN | {"waves": 2, "by": "ann"}]}
    told = daemon.run("rollout", "show", "r3-5d1a")
    assert "held at berlin since" in told
    assert "r3-5d1a: editor 2.1, stopped: 1 of 1 targets failed; it stops at 5%" in told
    assert "goes on when 95% of a wave are done, then 1 h 0 min, then by hand; stops at 5% failed" in told
    assert "breaker.open: it stopped" in told
    assert "pc-0" in told
    assert "--json shows more" in told
    assert daemon.json("rollout", "show", "3")["rollout"]["state"] == "stopped"
    assert "1 of 2" in daemon.run("rollout", "list")
    assert daemon.json("rollout", "list")["rollouts"][0]["by"] == "ann"


@pytest.mark.parametrize("verb", ["next", "pause", "resume", "cancel"])
def test_words_about_it(daemon: Daemon, verb: str) -> None:
    answer = {"rollout": "r3-5d1a", "state": "paused", "jobs": ["j9-1"], "said": "wave 2 could not begin"}
    daemon.answers[f"rollout.{verb}"] = answer
    told = daemon.run("rollout", verb, "r3-5d1a")
    assert "Rollout r3-5d1a is paused; begun now: j9-1." in told
    assert "wave 2 could not begin" in told
    assert daemon.asked == [(f"rollout.{verb}", {"rollout": "r3-5d1a"})]
    assert daemon.json("rollout", verb, "r3-5d1a")["state"] == "paused"


def test_undo_says_what_comes_back(daemon: Daemon) -> None:
    wave = {"wave": 1, "text": "wave 2 of r3-5d1a", "targets": 3, "formers": {"1.0": 2, "": 1}}
    found = {"undoes": "r3-5d1a", "same": 1, "moved_on": 1, "waves": [wave]}
    daemon.answers["rollout.undo"] = lambda args: found if args["dry_run"] else found | {"rollout": "r4-0000"}
    told = daemon.run("rollout", "undo", "r3-5d1a", "--dry-run")
    assert "none: 1, 1.0: 2" in told
    assert "2 stay as they are" in told
    assert "Nothing was ordered." in told
    assert "Rollout r4-0000 takes r3-5d1a back." in daemon.run("rollout", "undo", "r3-5d1a")
    assert daemon.json("rollout", "undo", "r3-5d1a", "--dry-run")["dry_run"]["same"] == 1
