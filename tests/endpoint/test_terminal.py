"""What a person says to `tiercast-endpoint`."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from tiercast_endpoint import resident, terminal


def test_run_with_further_words_is_the_same_daemon(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[Path | None] = []

    def served(state: Path | None) -> int:
        asked.append(state)
        return 7

    monkeypatch.setattr(resident, "serve", served)
    done = CliRunner().invoke(terminal.app, ["run", "--state", str(tmp_path)])
    assert (done.exit_code, asked) == (7, [tmp_path])


def test_an_agent_that_does_not_run_is_named_with_what_to_do(tmp_path: Path) -> None:
    done = CliRunner().invoke(terminal.app, ["status", "--state", str(tmp_path), "--json"])
    assert done.exit_code == 3
    assert "daemon.unreachable" in done.output
    assert f"tiercast-endpoint run --state {tmp_path}" in done.output


def test_the_folder_before_the_command_is_told_where_it_stands() -> None:
    done = CliRunner().invoke(terminal.app, ["--state", "./pc-1", "list"])
    assert done.exit_code == 2
    assert "comes after the command: tiercast-endpoint list --state ./pc-1" in " ".join(done.output.split())
    assert "--state" not in CliRunner().invoke(terminal.app, ["--help"]).output.partition("Examples")[0]
