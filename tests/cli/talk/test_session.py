"""Errors become a text and an exit code in one place."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli_daemon import Daemon
from tiercast_cli.__main__ import app
from tiercast_cli.talk.session import Session, run
from tiercast_protocol.errors import StoreFull, UsageError


def test_an_unknown_name_says_what_where_and_what_to_do(daemon: Daemon) -> None:
    daemon.answers["job.show"] = UsageError("job.unknown", "there is no job j9", "job show", "See 'tiercast job list'.")
    said = daemon.run("job", "show", "j9", code=2)
    assert "there is no job j9" in said
    assert "tiercast job list" in said
    assert daemon.json("job", "show", "j9", code=2)["error"]["code"] == "job.unknown"


def test_no_daemon_is_an_exit_code_of_its_own(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["--socket", str(tmp_path / "nobody.sock"), "node", "list", "--json"])
    assert result.exit_code == 3
    assert json.loads(result.output)["error"]["code"] == "daemon.unreachable"


def test_ctrl_c_says_how_to_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    async def work() -> None:
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as caught:
        run(work, on_interrupt=lambda: "Job j1 goes on.")
    assert caught.value.code == 130
    assert "Job j1 goes on." in capsys.readouterr().err


def test_our_own_error_is_not_the_users(capsys: pytest.CaptureFixture[str]) -> None:
    async def work() -> None:
        raise StoreFull(10, 5, "quota")

    with pytest.raises(SystemExit) as caught:
        run(work)
    assert caught.value.code == 1
    assert "no room for 10 bytes" in capsys.readouterr().err


def test_the_socket_comes_from_option_then_environment_then_the_usual_place(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TIERCAST_HOME", str(tmp_path))
    monkeypatch.delenv("TIERCAST_SOCKET", raising=False)
    assert Session().path == tmp_path / "server" / "control.sock"
    monkeypatch.setenv("TIERCAST_SOCKET", "/run/other.sock")
    assert Session().path == Path("/run/other.sock")
    assert Session("/run/mine.sock").path == Path("/run/mine.sock")
