"""The catalogue is closed and complete: every state that is not final, at every tier, has a reason."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import get_args

import pytest

from tiercast_endpoint import why as at_endpoint
from tiercast_endpoint.jobs import gate
from tiercast_endpoint.jobs.install import FIRST, PROGRAMS, STATE_OF, Install, Snapshot, Step
from tiercast_gateway.why import reasons, why
from tiercast_protocol.content.jobs.reason import words
from tiercast_protocol.content.jobs.receipt import RELAY_STATES, STATES
from tiercast_protocol.content.jobs.waiting import ENDPOINT, GATEWAY, KINDS, SERVER
from tiercast_protocol.transfer import lanes
from tiercast_server.jobs import life as job_life

ROOT = Path(__file__).resolve().parents[4]
ROOMS = ("protocol", "gateway", "server", "endpoint")


def test_every_row_is_whole() -> None:
    for code, kind in KINDS.items():
        assert re.fullmatch(r"[a-z]+([.-][a-z]+)*", code), code
        assert len(code) <= 64, "what the server's column holds"
        assert kind.tiers, code
        assert set(kind.tiers) <= {ENDPOINT, GATEWAY, SERVER}, code
        assert kind.says, code
        assert kind.freed, code


def test_every_state_of_a_target_has_a_reason() -> None:
    open_ones = {state for state, final in STATES.items() if not final}
    assert open_ones == why.CODE_OF.keys()
    assert set(why.CODE_OF.values()) <= KINDS.keys()
    for state in open_ones:
        assert why.chain(why.Target("pc", state), {}, {}), state


def test_what_is_final_waits_for_nothing() -> None:
    for state, final in STATES.items():
        if final:
            assert why.chain(why.Target("pc", state), {}, {}) == []
            assert why.result(why.Target("pc", state))["state"] == state


@pytest.mark.parametrize("step", [step for step in Step if step is not Step.END])
def test_every_step_of_the_installer_has_a_reason(step: Step) -> None:
    for type_ in FIRST:
        Install(Snapshot(type_, step))
        assert words(at_endpoint.of_step(step))
    assert at_endpoint.of_step(step).code in KINDS
    assert STATE_OF[step] in why.CODE_OF
    assert PROGRAMS.keys() <= STATE_OF.keys()


def test_every_reason_of_the_sender_has_a_code() -> None:
    assert set(reasons.CODE_OF.values()) <= KINDS.keys()
    assert KINDS.keys() >= reasons.PASSING


def test_every_state_of_a_lane_is_known_here() -> None:
    """A lane that is active or demoted sends, or has one of the sender's reasons; a parked one is `lane.parked`."""
    text = Path(lanes.__file__).read_text() + "".join(
        path.read_text() for path in Path(lanes.__file__).parent.glob("*.py")
    )
    found = set(re.findall(r'state (?:==|=|is) "([a-z]+)"', text)) | set(re.findall(r'state: str = "([a-z]+)"', text))
    assert found <= {"active", "demoted", "parked", "sending", "waiting", "done"}, found


def test_every_state_of_a_job_is_final_or_explained() -> None:
    """An open job has the reasons of its open targets: it is open while one is."""
    assert set(get_args(job_life.JobState)) - {"open"} <= {state for state, final in STATES.items() if final}
    for state, final in STATES.items():
        assert (job_life.closing_state({state: 1}) == "open") is not final


def test_what_a_gateway_says_of_itself_is_no_state_of_a_target() -> None:
    assert not RELAY_STATES.keys() & STATES.keys()


def test_every_reason_that_is_made_anywhere_is_in_the_catalogue() -> None:
    """`because("...")` with an unknown code raises when it runs; here it fails before."""
    made: dict[str, str] = {}
    for room in ROOMS:
        for path in (ROOT / room).rglob("*.py"):
            for call in ast.walk(ast.parse(path.read_text())):
                if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "Reason":
                    assert path.name == "reason.py", f"{path}:{call.lineno}: `because` looks into the catalogue"
                if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "because" and call.args:
                    first = call.args[0]
                    if isinstance(first, ast.Constant):
                        made[str(first.value)] = path.name
    assert made.keys() <= KINDS.keys(), made.keys() - KINDS.keys()
    states = set(why.CODE_OF.values()) | set(reasons.CODE_OF.values()) | set(at_endpoint.CODE_OF.values())
    states |= set(gate._EVENTS.values())
    written = {"node.not-joined"}  # in rows of targets
    assert KINDS.keys() <= made.keys() | states | written, "a row that nobody makes"


def test_the_page_lists_every_reason() -> None:
    page = (ROOT / "docs" / "jobs.md").read_text()
    listed = set(re.findall(r"(?m)^\| `([a-z.-]+)` \|", page.partition("\n## Why\n")[2].partition("\n## ")[0]))
    assert listed == KINDS.keys()
