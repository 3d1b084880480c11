"""How a job ends by itself: every code is in the catalogue of results, in a state that it may have there."""

from __future__ import annotations

from tiercast_endpoint.jobs import endings
from tiercast_endpoint.jobs.story import Outcome, Snapshot, Step
from tiercast_protocol.content.jobs.results import RESULTS


def test_every_ending_stands_in_the_catalogue() -> None:
    made = [one for one in vars(endings).values() if isinstance(one, Outcome)]
    made += [endings.interrupted(Step.AFTER), endings.killed(Step.RUN), endings.cancelled_and_failed("x")]
    made += [endings.expired(None), endings.expired(Outcome("failed", "disk.full", "Full."))]
    assert len(made) >= 10
    for one in made:
        assert one.state in RESULTS[one.code].states, one
        assert one.detail.endswith((".", "x")), one


def test_what_an_undo_comes_to() -> None:
    assert endings.taken_back(Snapshot("install", phase="undo"), superseded=False) is endings.TAKEN_BACK
    assert endings.taken_back(Snapshot("install"), superseded=False) is endings.NO_MORE_TRIES
    assert endings.taken_back(Snapshot("install", phase="undo"), superseded=True) is endings.SUPERSEDED
