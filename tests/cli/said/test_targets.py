"""Whom a job is for, at the command line."""

from __future__ import annotations

from cli_daemon import Daemon

MADE = {"job": "j1", "targets": 2, "follows": False}
DRY = {
    "targets": 20,
    "sites": [{"site": "berlin", "targets": 20, "nodes": [f"pc-{number}" for number in range(20)]}],
    "unknown": {"inventory": 1},
    "confirm": True,
}


def test_an_expression_goes_over_the_socket_as_it_stands(daemon: Daemon) -> None:
    daemon.answers["job.create"] = MADE
    daemon.run("job", "install", "hello", "-t", "below berlin minus where (cpus < 2)", "--confirm", "2", "--once")
    ((verb, args),) = daemon.asked
    assert verb == "job.create"
    assert args["target"] == "below berlin minus where (cpus < 2)"
    assert (args["confirm"], args["follow"]) == (2, False)
    assert "dry_run" not in args


def test_what_was_not_said_is_left_out(daemon: Daemon) -> None:
    daemon.answers["job.create"] = MADE
    daemon.run("job", "remove", "hello", "--on", "pc-1", "--group", "sales")
    ((_, args),) = daemon.asked
    assert (args["targets"], args["groups"]) == (["pc-1"], ["sales"])
    assert args.keys().isdisjoint({"target", "confirm", "follow", "dry_run"})


def test_a_dry_run_shows_how_many_and_who(daemon: Daemon) -> None:
    daemon.answers["job.create"] = DRY
    text = daemon.run("job", "install", "hello", "--target", "below berlin", "--dry-run", "--watch")
    for part in ("20 targets at 1 site", "berlin", "pc-0", "and 8 more", "1 machine left out", "--confirm=20"):
        assert part in text
    assert daemon.asked[0][1]["dry_run"] is True
    assert daemon.json("job", "install", "hello", "--target", "below berlin", "--dry-run")["dry_run"] == DRY


def test_a_dry_run_names_who_would_refuse_it(daemon: Daemon) -> None:
    refused = [{"node": f"pc-{n}", "version": "2", "why": "2 stands there."} for n in range(30)]
    daemon.answers["job.create"] = {**DRY, "refused": refused}
    text = daemon.run("job", "install", "hello", "--on", "pc-1", "--dry-run")
    assert "Refused by pc-0: 2 stands there." in text
    assert "more (--json shows all)" in text


def test_a_dry_run_shows_groups_and_values_of_its_targets(daemon: Daemon) -> None:
    row = {"node": "pc-1", "asked": True, "group": "arm", "values": {"port": {"text": "9", "source": "default"}}}
    daemon.answers["job.create"] = {**DRY, "takes": [{**row, "problem": ""}]}
    text = daemon.run("job", "install", "hello", "--on", "pc-1", "--dry-run")
    assert [line.split() for line in text.splitlines() if line.startswith("pc-1 ")] == [
        ["pc-1", "files", "arm", "of", "its", "group"],
        ["pc-1", "port", "9", "default"],
    ]
