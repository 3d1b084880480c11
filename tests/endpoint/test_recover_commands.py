"""The command that the service manager calls early at boot."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner

from tiercast_endpoint.terminal import app


def test_a_machine_without_an_agent_starts_as_ever(tmp_path: Path) -> None:
    words = ["recover", "--state", str(tmp_path / "none"), "--root-state", str(tmp_path / "root")]
    ran = CliRunner().invoke(app, words)
    assert (ran.exit_code, ran.output) == (0, "")
    ran = CliRunner().invoke(app, [*words, "--json"])
    assert json.loads(ran.output)["recovered"] == []
    assert "Example: tiercast-endpoint recover" in CliRunner().invoke(app, ["recover", "--help"]).output
