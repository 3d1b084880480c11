"""Options that must not be passed over."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tiercast_protocol.content.jobs import times
from tiercast_protocol.content.jobs.understood import UNDERSTOOD, must_of, not_understood
from tiercast_protocol.content.package import actions
from tiercast_protocol.transfer import terms


def test_every_time_of_an_installation_must_be_understood() -> None:
    assert times.OF_INSTALLATION <= UNDERSTOOD
    assert {times.DISTRIBUTE_AT, times.TRIES} <= UNDERSTOOD
    assert {word for words in actions.OPTIONS.values() for word in words} <= UNDERSTOOD


def test_what_steers_the_way_may_be_passed_over() -> None:
    assert not (terms.JOB_WORDS | {terms.CHANGE, times.PREPARE_BY, times.DEADLINE}) & UNDERSTOOD
    assert must_of({"rate": 9, "install_window": "daily 22:00-05:00", "tries": 2, "x": 1}) == [
        "install_window",
        "tries",
    ]


@given(st.dictionaries(st.sampled_from(sorted(UNDERSTOOD | terms.JOB_WORDS)), st.just(1)))
def test_who_signs_understands_what_is_signed_and_an_older_one_names_the_rest(options: dict[str, int]) -> None:
    must = must_of(options)
    assert not_understood(must) == []
    older = UNDERSTOOD - times.WORDS
    assert not_understood(must, older) == sorted(set(options) & (UNDERSTOOD - older))
