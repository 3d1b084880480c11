"""`tiercast link ...`."""

from __future__ import annotations

from typing import Any

from cli_daemon import Daemon


def a_link(**more: Any) -> dict[str, Any]:
    return {
        "parent": "server",
        "child": "berlin",
        "terms": {},
        "rate_now": None,
        "metered_now": False,
        "shut": {},
        "spent": {},
        **more,
    }


def test_links_are_listed_and_limited(daemon: Daemon) -> None:
    daemon.answers["link.list"] = [
        {"parent": "server", "child": "berlin", "online": True, "rate": 2_000_000, "sent_bytes": 2048, "lane": "active"}
    ]
    daemon.answers["link.set"] = a_link(terms={"rate": 2_000_000, "segment": 4096, "pause": 90, "metered": True})
    assert "2 MB/s" in daemon.run("link", "list")
    said = daemon.run("link", "set", "berlin", "--rate", "2MB/s")
    assert "metered yes, pause 1 min 30 s, rate 2 MB/s, segment 4.00 KiB" in said
    asked = {"node": "", "child": "berlin", "options": {"rate": 2_000_000}, "clear": []}
    assert daemon.asked[-1] == ("link.set", asked)
    daemon.run("link", "set", "--output", "--rate", "unlimited", "--adaptive", "--budget", "none")
    asked = {"node": "", "child": "", "options": {"adaptive": True}, "clear": ["rate", "budget", "budget_s", "per"]}
    assert daemon.asked[-1] == ("link.set", asked)
    assert "100Mbit/s" in daemon.run("link", "set", "berlin", "--rate", "quick", code=2)
    assert "--output" in daemon.run("link", "set", "--rate", "1MB/s", code=2)
    assert "Nothing was said" in daemon.run("link", "set", "berlin", code=2)


def test_a_link_shows_why_nothing_goes(daemon: Daemon) -> None:
    daemon.answers["link.show"] = a_link(
        terms={"budget": 2_000_000_000, "per": "month"},
        rate_now=0.0,
        metered_now=True,
        spent={"period": "2026-11", "bytes": 2_000_000_000, "seconds": 70.0},
        jobs=[
            {"job": "j7", "priority": 9, "state": "waiting", "queued": 4, "sent_bytes": 2048, "reason": "budget spent"},
            {
                "job": "j8",
                "priority": 5,
                "state": "waiting",
                "queued": 9,
                "sent_bytes": 9,
                "reason": "segment pause",
                "segments": 23,
                "segment_bytes": 1024,
                "segment": 4096,
            },
        ],
        asked={"segment": 4096, "pause": 90},
        slowed=50_000,
        queueing_ms=250.0,
        going=1_000_000,
        rtt_ms=12.5,
        shut={"code": "budget.spent", "why": "2,000,000,000 of 2,000,000,000 bytes per month are spent"},
    )
    said = daemon.run("link", "show", "berlin")
    for word in (
        "server -> berlin",
        "nothing",
        "only jobs with --metered",
        "1 min 10 s in 2026-11",
        "budget.spent",
        "j7",
        "23, 1.00 KiB of 4.00 KiB",
        "segment 4.00 KiB, by berlin",
        "50 kB/s, for 250 ms of queueing",
        "goes  1 MB/s",
        "12.5 ms",
    ):
        assert word in said


def test_windows_are_added_listed_and_removed(daemon: Daemon) -> None:
    window = "mon-fri 22:00-06:00 at 2000000"
    for verb in ("link.window.add", "link.window.remove", "link.show"):
        daemon.answers[verb] = a_link(terms={"window": f"{window}; not daily 12:00-13:00 utc"})
    daemon.run(
        *("link", "window", "add", "berlin", "--days", "mon-fri", "--from", "22:00", "--to", "06:00"), "--rate", "2MB/s"
    )
    assert daemon.asked[-1] == ("link.window.add", {"node": "", "child": "berlin", "window": window})
    daemon.run("link", "window", "add", "berlin", "--from", "12:00", "--to", "13:00", "--blackout", "--utc")
    assert daemon.asked[-1][1]["window"] == "not daily 12:00-13:00 utc"
    assert daemon.json("link", "window", "list", "berlin")["windows"] == [window, "not daily 12:00-13:00 utc"]
    assert window in daemon.run("link", "window", "list", "berlin")
    daemon.answers["link.window.remove"] = a_link()
    assert "has no windows" in daemon.run("link", "window", "remove", "berlin", "--number", "0")
    assert daemon.asked[-1] == ("link.window.remove", {"node": "", "child": "berlin", "number": 0})
    assert "100Mbit/s" in daemon.run(
        *("link", "window", "add", "berlin", "--from", "1:00", "--to", "2:00", "--rate", "fast"), code=2
    )
