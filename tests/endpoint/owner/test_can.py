"""What the owner of a machine can do: no command that only an administrator has."""

from __future__ import annotations

import re

import pytest

from tiercast_endpoint.owner import can
from tiercast_protocol.content.jobs.reason import because, shown
from tiercast_protocol.content.jobs.results import RESULTS
from tiercast_protocol.content.jobs.waiting import ENDPOINT, KINDS

ADMINISTRATORS = re.compile(r"\btiercast (?!-)[a-z]|--[a-z]+-max")
FIGURE = re.compile(r"\{(\w+)")


def test_every_code_that_a_machine_can_say_has_a_row() -> None:
    assert can.WAITING.keys() == {code for code, kind in KINDS.items() if ENDPOINT in kind.tiers}
    assert can.ENDED.keys() <= {code for code, result in RESULTS.items() if ENDPOINT in result.tiers}


@pytest.mark.parametrize("text", [*can.WAITING.values(), *can.ENDED.values()])
def test_no_row_names_a_command_that_the_owner_has_not(text: str) -> None:
    assert not ADMINISTRATORS.search(text)


@pytest.mark.parametrize(("code", "text"), can.WAITING.items())
def test_rows_have_figures_that_their_reasons_have(code: str, text: str) -> None:
    assert set(FIGURE.findall(text)) <= KINDS[code].fields


def test_a_window_that_is_shut() -> None:
    told = can.shown(shown(because("window.shut", node="pc", peer="pc", window="daily 12:00-13:00", until=5)))
    assert "install_window in endpoint.toml" in told["todo"]
    assert "tiercast job set JOB" in told["administrator"]
    assert told["says"].startswith("its window daily 12:00-13:00 is shut")


def test_what_the_owner_can_do_himself_is_asked_of_nobody_else() -> None:
    told = can.shown(shown(because("owner.deferred", node="pc", by="anna", until=5, times=1)))
    assert (told["todo"], told["administrator"]) == ("tiercast-endpoint release JOB has it at once", "")
    assert can.shown(shown(because("turn", before="j2")))["todo"] == "tiercast-endpoint why j2"


def test_results() -> None:
    failed = {"state": "failed", "code": "program.failed", "todo": RESULTS["program.failed"].todo}
    told = can.ended(failed)
    assert told["todo"] == "tiercast-endpoint job JOB shows what the program said."
    assert told["administrator"] == "tiercast job receipt JOB NODE shows its output."
    assert can.ended({"state": "done", "code": "", "todo": ""})["todo"] == ""
    assert can.ended({}) == {}
