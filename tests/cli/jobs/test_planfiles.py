"""The file of a plan: each step is the command line of its job, and every mistake names file and step."""

from __future__ import annotations

from pathlib import Path

import pytest

from tiercast_cli.jobs.planfiles import plan_of
from tiercast_cli.talk.session import session
from tiercast_protocol.errors import UsageError

PLAN = """
note = "printers"
[[step]]
name = "stop"
type = "run"
program = ["/usr/bin/systemctl", "stop", "--now", "cups"]
group = "printers"
timeout = "2m"
[[step]]
name = "update"
after = "stop"
on_failure = "mend"
per = "all"
type = "install"
package = "cups=2.0"
on = ["pc-1", "pc-2"]
expires = "7d"
confirm = 2
[[step]]
name = "mend"
type = "message"
text = "-- it failed"
on = "pc-1"
"""


def write(tmp_path: Path, text: str) -> str:
    file = tmp_path / "night.toml"
    file.write_text(text)
    return str(file)


def test_steps_are_what_their_commands_would_ask(tmp_path: Path) -> None:
    plan = plan_of(write(tmp_path, PLAN))
    stop, update, mend = plan["steps"]
    assert (plan["name"], plan["note"]) == ("night", "printers")
    assert (stop["name"], stop["after"], stop["job"]["type"]) == ("stop", [], "run")
    assert (stop["job"]["groups"], stop["job"]["options"]["run_timeout_s"]) == (["printers"], 120)
    assert stop["job"]["options"]["argv"] == '["/usr/bin/systemctl","stop","--now","cups"]'
    assert (update["after"], update["on_failure"], update["per"]) == (["stop"], "mend", "all")
    assert (update["job"]["package"], update["job"]["targets"]) == ("cups=2.0", ["pc-1", "pc-2"])
    assert (update["job"]["expires_s"], update["job"]["confirm"]) == (604_800, 2)
    assert mend["job"]["options"] == {"text": "-- it failed", "title": ""}
    assert session.collected is None


def test_no_step_logs_in_at_another_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plan of forty steps is read before anything is asked: not with forty logins, and with no daemon there."""
    monkeypatch.setenv("TIERCAST_SSH", "false")
    session.host = "ssh://server"
    assert len(plan_of(write(tmp_path, PLAN))["steps"]) == 3


def test_the_plan_on_the_page_can_be_read(tmp_path: Path) -> None:
    page = (Path(__file__).parents[3] / "docs/jobs.md").read_text("utf-8")
    block = page.partition("\n## Plans\n")[2].partition("```toml\n")[2].partition("```")[0]
    plan = plan_of(write(tmp_path, block))
    assert [step["name"] for step in plan["steps"]] == ["stop-cups", "update", "start-cups", "restore"]


@pytest.mark.parametrize(
    ("text", "code", "says"),
    [
        ("x = 1", "file.key", "`x`"),
        ("name = 1", "file.value", "`name`"),
        ("note = 1", "file.value", "`note`"),
        ("name = 'n'", "file.key", "no steps"),
        ("step = 1", "file.key", "no steps"),
        ("[step.a]\ntype = 'restart'", "file.key", "no steps"),
        ("[[step]]\ntype = 'restart'", "file.value", "Step 1 has no `name`"),
        ("[[step]]\nname = 'a'", "file.type", "`type` is missing"),
        ("[[step]]\nname = 'a'\ntype = 'restart'\nfrob = 1", "file.key", "`frob`"),
        ("[[step]]\nname = 'a'\ntype = 'install'\non = 'pc-1'", "file.value", "`package`"),
        ("[[step]]\nname = 'a'\ntype = 'restart'\nconfirm = 'many'", "file.value", "--confirm"),
        ("[[step]]\nname = 'a'\ntype = 'restart'\nexpires = 'soon'", "time.invalid", "soon"),
        ("[[step", "file.invalid", "no TOML"),
    ],
)
def test_every_mistake_names_file_and_step(tmp_path: Path, text: str, code: str, says: str) -> None:
    file = write(tmp_path, text)
    with pytest.raises(UsageError) as caught:
        plan_of(file)
    error = caught.value
    assert (error.code, says in error.what) == (code, True), error
    assert file in error.where
    assert "step 'a'" in error.where or "name = 'a'" not in text, error
    assert session.collected is None
