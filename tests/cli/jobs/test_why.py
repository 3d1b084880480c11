"""`tiercast why`: five lines for ten thousand machines, a chain for one."""

from __future__ import annotations

from typing import Any

from cli_daemon import Daemon
from tiercast_cli.jobs.why import LINES, lines

NOW = 1_800_000_000.0


def reason(code: str, **more: Any) -> dict[str, Any]:
    return {
        "code": code,
        "node": "berlin",
        "peer": "pc-1",
        "since": int(NOW * 1000) - 90_000,
        "until": 0,
        "facts": {},
        "says": f"says {code}",
        "freed": "something happens",
        "todo": "tiercast job set JOB",
        **more,
    }


def group(code: str, count: int) -> dict[str, Any]:
    more = {"count": count, "places": ["berlin", "paris"], "place_count": 20, "examples": ["pc-1", "pc-2"]}
    return reason(code, **more)


def a_job(**more: Any) -> dict[str, Any]:
    return {
        "job": "j17",
        "type": "install",
        "package": "app",
        "version": "2",
        "state": "open",
        "targets": 10_000,
        **more,
    }


def test_ten_thousand_waiting_machines_are_five_lines() -> None:
    groups = [group(f"code-{n}", 9000 // (n + 1)) for n in range(9)]
    found = a_job(waiting=10_000, reasons=groups, ended=[])
    told = lines(found, "j17", NOW)[2:]
    assert len(told) == LINES == 5
    assert "9,000  code-0 at berlin and 19 other nodes, for 1 min 30 s: says code-0 (pc-1, and 8,999 more)" in told[0]
    assert "others: code-4 1,800, code-5 1,500" in told[-1]
    assert len(lines(found, "j17", NOW, everything=True)[2:]) == 9


def test_what_has_ended_is_said_beside() -> None:
    ended = [{"count": 3, "state": "failed", "code": "disk.short", "means": "No room.", "todo": "", "detail": ""}]
    told = lines(a_job(waiting=0, reasons=[], ended=ended), "j17", NOW)
    assert told[-1].strip() == "3  failed (disk.short): No room."
    assert lines(a_job(waiting=0, reasons=[], ended=[]), "j17", NOW)[-1] == "Nothing waits there."


def test_a_target_has_a_chain_or_a_result(daemon: Daemon) -> None:
    chain = [reason("suspended"), reason("fetch", todo="", since=0)]
    daemon.answers["job.why"] = a_job(target="pc-1", target_state="fetching", chain=chain, result={})
    told = daemon.run("why", "j17", "pc-1")
    assert daemon.asked[-1] == ("job.why", {"job": "j17", "target": "pc-1", "node": ""})
    assert "1. suspended: says suspended, for " in told
    assert "(says berlin)" in told
    assert "you can: tiercast job set j17" in told
    assert told.count("you can") == 1
    result = {"state": "failed", "code": "disk.short", "detail": "9 bytes are free.", "means": "", "todo": "Free NODE."}
    daemon.answers["job.why"] = a_job(target="pc-1", target_state="failed", chain=[], result=result)
    told = daemon.run("why", "j17", "pc-1")
    assert "It has ended: failed (disk.short). 9 bytes are free." in told
    assert "you can: Free pc-1." in told


def test_a_node_is_asked_itself_and_json_is_all_of_it(daemon: Daemon) -> None:
    one = {**a_job(), "state": "fetching", "done": 1, "total": 2, "chain": [reason("fetch")], "result": {}}
    daemon.answers["job.why"] = {"node": "pc-1", "jobs": [one]}
    assert "pc-1: fetching" in daemon.run("why", "j17", "--node", "pc-1")
    assert daemon.asked[-1] == ("job.why", {"job": "j17", "target": "", "node": "pc-1"})
    assert '"chain": [{"code": "fetch"' in daemon.run("why", "j17", "--json")


def test_what_those_above_say_stands_below_a_machines_own_word() -> None:
    above = [{"node": "berlin", "chain": [reason("rate")], "result": {}}]
    found = {"node": "pc-1", "jobs": [{"job": "j17", "state": "fetching", "chain": [reason("fetch")]}], "above": above}
    told = lines(found, "j17", NOW)
    assert told[0] == "pc-1: fetching"
    assert told[-1] == "berlin says: rate: says rate, for 1 min 30 s (says berlin)"


def test_a_job_about_no_package_is_named_by_its_type() -> None:
    found = a_job(waiting=0, reasons=[], ended=[]) | {"type": "restart", "package": "", "version": ""}
    assert lines(found, "j17", NOW)[0] == "job j17: restart, open"


def test_what_is_no_job_is_called_what_it_is_and_commands_name_the_job_that_waits() -> None:
    found = {"job": "p1-ab12", "type": "plan", "about": "night", "state": "running", "waiting": 0, "targets": 0}
    assert lines({**found, "reasons": [], "ended": []}, "p1", NOW)[0] == "plan p1-ab12: night, running"
    chain = {"target": "pc-1", "target_state": "running", "chain": [reason("run")], "result": {}}
    told = lines(a_job(**chain, cancelling=True), "p1", NOW)
    assert told[0] == "job j17: install app 2, cancelling"
    assert told[-1].strip() == "you can: tiercast job set j17", "asked of its plan, which no job is called"
