"""Jobs in two phases: what may be said, and how far two orders of a step lead together."""

from __future__ import annotations

import pytest

from tiercast_protocol.content.jobs.receipt import STATES
from tiercast_protocol.content.jobs.understood import must_of
from tiercast_protocol.content.jobs.waiting import KINDS
from tiercast_protocol.content.package import phases
from tiercast_protocol.content.package.phases import ACCEPT, COMMIT, PREPARE, STEPS, UNDO
from tiercast_protocol.errors import UsageError


def test_steps_only_go_on_in_whatever_order_they_come() -> None:
    for one in STEPS:
        for other in STEPS:
            assert phases.further(one, other) == phases.further(other, one) in {one, other}
    assert phases.further(PREPARE, COMMIT) == COMMIT
    assert phases.further(UNDO, ACCEPT) == UNDO
    assert phases.further("", PREPARE) == PREPARE


def test_how_far_an_order_goes() -> None:
    assert phases.step_of({}) == ""
    assert phases.step_of({"step": "commit"}) == "", "of a job in one phase"
    assert phases.step_of({"two_phase": True}) == PREPARE
    assert phases.step_of({"two_phase": True, "step": "commit"}) == COMMIT
    assert phases.step_of({"two_phase": True, "step": "jump"}) == PREPARE


def test_who_can_not_do_it_must_not_pass_it_over() -> None:
    said = {"two_phase": True, "step": "commit", "commit_at_least": 90, "undo_if_failed": 10}
    assert must_of(said) == ["step", "two_phase"]


def test_every_state_of_a_target_has_a_phase() -> None:
    assert phases.PREPARED in KINDS
    assert phases.COMMITTED in KINDS
    assert phases.phase_of("staged", phases.PREPARED) == "prepared"
    assert phases.phase_of("installing", phases.COMMITTED) == "committed"
    assert phases.phase_of("done", "") == "accepted"
    assert phases.phase_of("cancelled", "undone") == "undone"
    assert phases.phase_of("failed", "disk.full") == "failed"
    for state in STATES:
        assert phases.phase_of(state, "")


@pytest.mark.parametrize(
    ("type_", "options", "code"),
    [
        ("remove", {"two_phase": True}, "set.type"),
        ("install", {"commit_at_least": 90}, "set.alone"),
        ("install", {"two_phase": "yes"}, "set.alone"),
        ("install", {"two_phase": True, "commit_at_least": 0}, "set.share"),
        ("install", {"two_phase": True, "undo_if_failed": 101}, "set.share"),
        ("install", {"two_phase": True, "undo_if_failed": True}, "set.share"),
        ("install", {"two_phase": True, "step": "commit"}, "set.step"),
    ],
)
def test_what_can_not_be_is_refused(type_: str, options: dict[str, object], code: str) -> None:
    with pytest.raises(UsageError) as caught:
        phases.check(type_, options)
    assert caught.value.code == code


def test_what_can_be_is_not_refused() -> None:
    phases.check("remove", {})
    phases.check("install", {"two_phase": True, "commit_at_least": 1, "undo_if_failed": 100})
    phases.check_one_phase({"rate": 5})
    with pytest.raises(UsageError) as caught:
        phases.check_one_phase({"two_phase": True})
    assert caught.value.code == "set.rollout"
