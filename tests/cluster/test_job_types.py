"""Jobs about no package, drafts and templates, through real daemons: command line to endpoint, and back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster import asked, running, states, until
from region import Region


@pytest.fixture(scope="module", name="site")
def _site() -> Iterator[Region]:
    with running() as region:
        region.add_server()
        region.add_gateway("berlin")
        region.add_endpoint("pc-1", "berlin")
        yield region


def run_on_pc_1(site: Region, script: str, *options: str) -> dict[str, Any]:
    """`job run`, whose program takes all that follows the dashes."""
    words = ("job", "run", "--on", "pc-1", "--json", *options, "--", "/bin/sh", "-c", script)
    done = site.tool("tiercast_cli", "--socket", str(site.daemons["server"].socket), *words)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_a_program_a_message_and_a_restart(site: Region) -> None:
    job = run_on_pc_1(site, "echo at work; exit 3", "--watch", "--exit", "3")["job"]
    assert (job["state"], job["counts"]) == ("done", {"done": 1})
    (program,) = site.cli("job", "receipt", job["job"], "pc-1")["receipt"]["programs"]
    assert (program["exit"], program["output"]) == (3, "at work\n")

    text = "Back at nine.\nLeave it on."
    assert site.cli("job", "message", "--on", "pc-1", "--title", "Tonight", "--watch", text)["job"]["state"] == "done"
    (kept,) = asked(site, "messages", at="pc-1", unread=True)
    assert (kept["title"], kept["text"]) == ("Tonight", text)

    assert site.cli("job", "inventory", "--on", "pc-1", "--watch")["job"]["state"] == "done"

    before = asked(site, "status", at="pc-1")
    assert site.cli("job", "restart", "--on", "pc-1", "--watch")["job"]["state"] == "done"
    after = asked(site, "status", at="pc-1")
    assert after["started"] > before["started"]
    assert after["pid"] == before["pid"]
    assert len(asked(site, "messages", at="pc-1")) == 1


def test_a_killed_agents_program_is_interrupted_and_not_run_again(site: Region, tmp_path: Path) -> None:
    ran, daemon = tmp_path / "ran", site.daemons["pc-1"]
    job = run_on_pc_1(site, f"echo once >> {ran}; exec sleep 300")["job"]
    until(ran.exists, "the program runs")
    until(lambda: states(site, job) == {"pc-1": "running"}, "the server hears that it runs")
    site.kill(daemon.name)
    site.start(daemon)
    until(lambda: states(site, job) == {"pc-1": "interrupted"}, "the receipt of the next life")
    assert asked(site, "job.show", job=job)["state"] == "failed"
    assert ran.read_text() == "once\n"


def test_from_a_draft_to_a_template_to_a_job(site: Region, tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    file = tmp_path / "job.toml"
    program = json.dumps(["/bin/sh", "-c", f"echo {{word}} >> {marks}"])
    file.write_text(f'type = "run"\nprogram = {program}\non = "pc-1"\nfolder = "nightly/marks"\nnote = "a mark"\n')
    draft = site.cli("job", "create", "--file", str(file), "--draft")["job"]
    (listed,) = site.cli("job", "list", "--folder", "nightly", "--search", "MARK")["jobs"]
    assert (listed["job"], listed["state"]) == (draft, "draft")
    saved = site.cli("job", "template", "save", draft, "mark", "--parameter", "word", "--parameter", "timeout=30s")
    assert saved["template"]["parameters"] == {"timeout": "30s", "word": None}
    missing = site.cli("job", "from", "mark", check=False)
    assert (missing["error"]["code"], "'word'" in missing["error"]["what"]) == ("template.missing", True)
    quoted = site.cli("job", "from", "mark", "--set", "word='\"quoted\"'", "--watch")["job"]
    assert quoted["state"] == "done"
    assert site.cli("job", "from", "mark", "--set", "word=first", "--watch")["job"]["state"] == "done"
    assert site.cli("job", "start", draft, "--watch")["job"]["job"] == draft
    assert marks.read_text() == '"quoted"\nfirst\n{word}\n'
    refused = site.cli("job", "suspend", draft, check=False)
    assert refused["error"]["code"] == "job.type"
    done = [
        one["job"] for one in site.cli("job", "list", "--state", "done", "--type", "run", "--target", "pc-1")["jobs"]
    ]
    assert draft in done
    assert site.cli("job", "delete", draft) == {"schema": 1, "job": draft}
