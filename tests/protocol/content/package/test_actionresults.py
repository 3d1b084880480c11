"""The results of actions stand in the catalogue, and the page of actions names none that is not there."""

from __future__ import annotations

import re
from fnmatch import fnmatch
from pathlib import Path

from tiercast_protocol.content.jobs.results import RESULTS
from tiercast_protocol.content.package.actionresults import ACTION_RESULTS

PAGE = (Path(__file__).resolve().parents[4] / "docs/actions.md").read_text().partition("## Codes")[2]


def test_they_are_failures_of_the_endpoint() -> None:
    assert all(RESULTS[code].states == ("failed",) for code in ACTION_RESULTS)


def test_the_page_of_actions_names_all_of_them() -> None:
    named = re.findall(r"`([a-z]+\.[a-z*]+)`", PAGE)
    assert [code for code in ACTION_RESULTS if not any(fnmatch(code, one) for one in named)] == []
    assert [one for one in named if not any(fnmatch(code, one) for code in RESULTS)] == []
