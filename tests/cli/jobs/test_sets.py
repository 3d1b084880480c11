"""Two phases at the command line: what is typed, what goes over the socket, and what is shown."""

from __future__ import annotations

import pytest

from cli_daemon import Daemon
from tiercast_cli.jobs.sets import OF_SETS, sets_of, sets_shown
from tiercast_protocol.content.package.phases import SAID, check
from tiercast_protocol.errors import UsageError


def test_every_word_can_be_typed_and_is_taken() -> None:
    assert OF_SETS.keys() == SAID
    said = sets_of({"two_phase": True, "commit_at_least": "90%", "undo_if_failed": "5"})
    assert said == {"two_phase": True, "commit_at_least": 90, "undo_if_failed": 5}
    check("install", said)
    assert sets_of({name: default for name, (_, default) in OF_SETS.items()}) == {}


@pytest.mark.parametrize("text", ["0%", "101%", "most", "0.5", "-3"])
def test_what_is_no_share_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="no share"):
        sets_of({"commit_at_least": text})


def test_each_verb_says_where_and_how(daemon: Daemon) -> None:
    daemon.answers["job.commit"] = {"job": "j1", "step": "commit", "targets": [], "open": 3}
    assert "Job j1 is being committed;" in daemon.run("job", "commit", "j1")
    asked = {"job": "j1", "nodes": [], "groups": [], "below": [], "force": False}
    assert daemon.asked[-1] == ("job.commit", asked)
    daemon.answers["job.accept"] = {"job": "j1", "step": "accept", "targets": ["pc-1", "pc-2"], "open": 2}
    said = daemon.run("job", "accept", "j1", "--on", "pc-1", "--group", "sales", "--below", "berlin", "--force")
    assert "is being accepted on 2 nodes" in said
    asked = {"job": "j1", "nodes": ["pc-1"], "groups": ["sales"], "below": ["berlin"], "force": True}
    assert daemon.asked[-1] == ("job.accept", asked)
    daemon.answers["job.undo"] = {"job": "j1", "step": "undo", "targets": [], "open": 2}
    assert '"step":"undo"' in daemon.run("job", "undo", "j1", "--json").replace(" ", "")


def test_what_is_shown() -> None:
    assert sets_shown({"options": {}}) == []
    options = {"two_phase": True, "commit_at_least": 90, "undo_if_failed": 10, "step": "commit"}
    (line,) = sets_shown({"options": options, "phases": {"committed": 3, "failed": 1}})
    assert line == (
        "in two phases: commits at 90% prepared, undone at 10% failed, ordered to commit, 3 committed, 1 failed"
    )
