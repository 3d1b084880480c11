"""`tiercast apply`, `diff` and `export`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cli_daemon import Daemon
from tiercast_cli.wanted.desired import of_machines

FILE = '[group.sales]\nmembers = ["pc-1"]\n[assignment.editor]\ngroup = "sales"\nhas = "editor >= 2"\n'
FOUND: dict[str, Any] = {
    "number": 3,
    "changes": [
        {"kind": "group", "name": "sales", "change": "added", "differs": []},
        {"kind": "assignment", "name": "editor", "change": "changed", "differs": ["has: 'editor' -> 'editor >= 2'"]},
        {"kind": "window", "name": "night", "change": "removed", "differs": []},
    ],
    "machines": [
        {
            "assignment": "editor",
            "says": "has editor >= 2",
            "state": "active",
            "targets": 10_000,
            "counts": {"holds": 9_000, "missing": 1_000},
            "some": {"missing": [f"pc-{n}" for n in range(5)]},
        }
    ],
    "warnings": ["The assignment x is for nobody yet."],
    "targets": 1_000,
    "confirm": True,
}


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "region.toml"
    path.write_text(FILE)
    return str(path)


def test_apply_sends_the_document_and_says_what_changed(daemon: Daemon, file: str) -> None:
    daemon.answers["desired.apply"] = FOUND
    told = daemon.run("apply", "-f", file, "--prune", "--confirm", "9")
    assert "+ group sales\n" in told
    assert "~ assignment editor\n      has: 'editor' -> 'editor >= 2'\n" in told
    assert "- window night\n" in told
    assert "Warning: The assignment x is for nobody yet." in told
    assert "Change 3." in told
    verb, args = daemon.asked[0]
    assert verb == "desired.apply"
    assert (args["prune"], args["confirm"], args["dry_run"]) == (True, 9, False)
    assert args["document"]["groups"] == [{"name": "sales", "members": ["pc-1"]}]
    assert args["lines"]["assignment.editor"] == 3
    assert daemon.json("apply", "-f", file)["apply"]["number"] == 3


def test_ten_thousand_machines_are_few_lines(daemon: Daemon, file: str) -> None:
    daemon.answers["desired.apply"] = {**FOUND, "number": 0}
    told = daemon.run("apply", "-f", file, "--dry-run")
    assert "editor (has editor >= 2): 10,000 machines" in told
    assert "1,000  missing (the package is missing): pc-0, pc-1, pc-2, pc-3, pc-4, and 995 more" in told
    assert "Nothing was changed; so many must be confirmed: --confirm=1000." in told
    assert len(told.splitlines()) < 12
    assert daemon.json("apply", "-f", file, "--dry-run")["dry_run"]["targets"] == 1_000


def test_an_earlier_state_needs_no_file(daemon: Daemon) -> None:
    daemon.answers["desired.apply"] = {**FOUND, "changes": [], "machines": [], "warnings": []}
    assert "No definition differs." in daemon.run("apply", "--again", "2")
    assert daemon.asked[0][1]["again"] == 2
    assert "No file was named" in daemon.run("apply", code=2)


def test_diff_changes_nothing(daemon: Daemon, file: str) -> None:
    daemon.answers["desired.diff"] = FOUND
    assert "+ group sales" in daemon.run("diff", "-f", file)
    assert daemon.json("diff", "-f", file, "--prune")["diff"]["targets"] == 1_000
    assert [verb for verb, _ in daemon.asked] == ["desired.diff"] * 2


def test_mistakes_of_the_file_are_told_before_anything_is_asked(daemon: Daemon, tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_text("[group.a]\ncolour = 1\n[assignment.b]\n")
    told = daemon.run("diff", "-f", str(path), code=2)
    assert "line 2, group.a.colour: unknown key" in told
    assert "line 3, assignment.b: it says not for whom" in told
    assert daemon.json("apply", "-f", str(path), code=2)["error"]["code"] == "desired.invalid"
    assert daemon.asked == []


def test_export_writes_what_apply_reads(daemon: Daemon, tmp_path: Path, file: str) -> None:
    daemon.answers["desired.diff"] = FOUND
    daemon.run("diff", "-f", file)
    sent = daemon.asked[0][1]["document"]
    groups = [{"where": "", "self_join": False, **one} for one in sent["groups"]]
    daemon.answers["desired.export"] = {**sent, "groups": groups}
    out = tmp_path / "out.toml"
    assert daemon.run("export", "-o", str(out)) == f"{out}: 1 group, 0 windows, 1 assignment.\n"
    assert daemon.run("export") == out.read_text()
    daemon.run("diff", "-f", str(out))
    assert daemon.asked[-1][1]["document"] == sent
    assert daemon.json("export")["export"]["format"] == 1
    assert "can't be written" in daemon.run("export", "-o", str(tmp_path), code=2)


def test_a_paused_one_says_so() -> None:
    one = {**FOUND["machines"][0], "state": "paused"}
    assert of_machines(one)[0] == "editor (has editor >= 2, paused): 10,000 machines"
