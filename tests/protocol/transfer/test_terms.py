"""The words of transfers are read as one, and changed word by word."""

from __future__ import annotations

import pytest

from tiercast_protocol.errors import UsageError
from tiercast_protocol.transfer import terms
from tiercast_protocol.transfer.terms import JOB_WORDS, LINK_WORDS, Quota


def test_words_of_a_job_and_of_a_link() -> None:
    job = terms.job_words({"priority": 9, "window": "daily 22:00-06:00", "budget": 5000, "any_version": True})
    assert (job.policy.priority, job.windows[0].start, job.quota) == (9, 22 * 60, Quota("job", 5000))
    link = terms.link_words({"rate": 5000, "budget_s": 60, "metered": False, "adaptive": True})
    assert (link.pace.rate, link.quota, link.metered, link.adaptive) == (5000, Quota("month", None, 60), False, True)
    assert terms.link_words({}).metered is None
    assert terms.link_words({}).quota is None


@pytest.mark.parametrize(
    "wrong", [{"per": "year"}, {"budget_s": 0}, {"budget_s": True}, {"window": 5}, {"window": "x"}, {"rate": 5}]
)
def test_a_wrong_value_is_refused(wrong: dict[str, object]) -> None:
    for read in (terms.job_words, terms.link_words):
        with pytest.raises(UsageError):
            read(wrong)


def test_what_is_not_named_stays() -> None:
    before = {"rate": 5000, "metered": True}
    assert terms.changed(before, {"floor": 1}, ["rate", "pause"], LINK_WORDS) == {"metered": True, "floor": 1}
    for new, clear, words in (
        ({"adaptive": True}, [], JOB_WORDS),
        ({}, ["colour"], LINK_WORDS),
        ({"rate": 1.5}, [], LINK_WORDS),
    ):
        with pytest.raises(UsageError) as caught:
            terms.changed(before, new, clear, words)
        assert caught.value.code == "transfer.word"
