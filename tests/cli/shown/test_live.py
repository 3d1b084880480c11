"""Following a job without a terminal."""

from __future__ import annotations

import pytest

from cli_daemon import Daemon, snapshot


def test_plain_lines_when_not_a_terminal(daemon: Daemon) -> None:
    daemon.streams["job.watch"] = [snapshot("fetching", 100), snapshot("fetching", 900), snapshot("done", 1000)]
    said = daemon.run("job", "watch", "j1")
    assert "pc-1  fetching  10%" in said
    assert "pc-1  done  100%" in said
    assert said.rstrip().endswith("1 done")


@pytest.mark.parametrize(("state", "code"), [("done", 0), ("failed", 4), ("interrupted", 4), ("cancelled", 4)])
def test_the_exit_code_tells_how_the_job_ended(daemon: Daemon, state: str, code: int) -> None:
    daemon.streams["job.watch"] = [snapshot(state, 1000)]
    assert daemon.json("job", "watch", "j1", code=code)["job"]["counts"] == {state: 1}
