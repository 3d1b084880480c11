"""The file on the page of the desired state is one that is read, and every state and code of the page is one."""

from __future__ import annotations

import re
from pathlib import Path

from tiercast_cli.wanted.desired import STATES
from tiercast_cli.wanted.desiredfiles import document_of, text_of

PAGE = (Path(__file__).parents[2] / "docs/desired-state.md").read_text("utf-8")


def test_the_file_of_the_page_is_read_and_written_again(tmp_path: Path) -> None:
    (text,) = re.findall(r"^```toml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    path = tmp_path / "region.toml"
    path.write_text(text)
    found = document_of(str(path))["document"]
    assert [len(found[f"{kind}s"]) for kind in ("group", "window", "assignment")] == [3, 1, 2]
    kept = {**found, "groups": [{"members": [], "where": "", "self_join": False, **one} for one in found["groups"]]}
    path.write_text(text_of(kept))
    again = document_of(str(path))["document"]
    assert (again["windows"], again["assignments"]) == (found["windows"], found["assignments"])


def test_the_states_of_the_page_are_those_that_are_shown() -> None:
    assert re.findall(
        r"^\| `(\w+)` \| ", PAGE.partition("| state |")[2].partition("`export`")[0], re.MULTILINE
    ) == list(STATES)
