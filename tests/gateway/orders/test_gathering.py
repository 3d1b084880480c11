"""Many receipts are few messages, and the first and the last of them wait for nobody."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from tiercast_gateway.orders.gathering import BAD_MOST, EACH, FEW, MOST, PROGRESS_LEAST, Gathering, News


def flow(gathering: Gathering, news: News, seconds: float, *, records: int = 100, below: int = FEW) -> list[float]:
    """The moments at which something is told while more comes all the time."""
    told: list[float] = []
    now = 0.0
    while now < seconds:
        if now >= gathering.due(news):
            gathering.told(now, records, progress=gathering.takes_progress(now), below=below)
            told.append(now)
        now += 0.01
    return told


def test_the_first_goes_at_once_and_a_flow_of_a_minute_is_few_messages() -> None:
    told = flow(Gathering(), News.DONE, 60)
    assert told[0] == 0
    assert len([moment for moment in told if moment < 1]) <= 3
    assert 6 < len(told) <= 11
    assert max(b - a for a, b in pairwise(told)) <= MOST + 0.02


def test_after_a_silence_the_next_goes_at_once_again() -> None:
    gathering = Gathering()
    last = flow(gathering, News.DONE, 30)[-1]
    assert gathering.due(News.DONE) == last + MOST
    gathering.told(last + 3 * MOST, 100, progress=False)
    assert gathering.due(News.DONE) < last + 3 * MOST + 0.1


def test_failures_wait_a_second_and_the_last_of_a_job_nothing() -> None:
    gathering = Gathering()
    last = flow(gathering, News.DONE, 30)[-1]
    assert gathering.due(News.BAD) == last + BAD_MOST
    assert gathering.due(News.LAST) < last


def test_progress_that_goes_on_is_few_messages_too() -> None:
    assert len(flow(Gathering(), News.PROGRESS, 60)) <= 11


def test_progress_of_a_few_goes_once_a_second() -> None:
    told = flow(Gathering(), News.PROGRESS, 30, records=2)
    assert max(b - a for a, b in pairwise(told)) <= PROGRESS_LEAST + 0.02


def test_what_ends_one_by_one_is_told_as_it_ends() -> None:
    told = flow(Gathering(), News.DONE, 30, records=1)
    assert max(b - a for a, b in pairwise(told)) <= EACH + 0.02


def test_a_few_of_many_are_gathered_for_longer() -> None:
    alone = flow(Gathering(), News.DONE, 60, records=4)
    crowd = flow(Gathering(), News.DONE, 60, records=4, below=10 * FEW)
    assert max(b - a for a, b in pairwise(alone)) <= 4 * EACH + 0.02
    assert len(crowd) <= 11 < len(alone)


def test_progress_goes_at_most_once_a_second() -> None:
    told = flow(Gathering(most=0.05), News.PROGRESS, 10)
    assert all(b - a >= PROGRESS_LEAST - 0.011 for a, b in pairwise(told))
    assert len(told) >= 9


@given(st.lists(st.tuples(st.floats(0, 20), st.sampled_from(News)), max_size=50), st.floats(0.05, 10))
def test_nothing_waits_longer_than_the_most(story: list[tuple[float, News]], most: float) -> None:
    gathering, now = Gathering(most), 0.0
    for passed, news in story:
        now += passed
        assert gathering.due(news) <= now + max(most, PROGRESS_LEAST)
        if now >= gathering.due(news):
            gathering.told(now, 1 + int(passed), progress=gathering.takes_progress(now))
