"""Which version of the agent is started."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tiercast_endpoint.update import trial
from tiercast_endpoint.update.trial import LASTING_MS, MOST_STARTS, TRIAL_MS, Record, reached, start

OLD, NEW = ".trees/a/old", ".trees/a/new"


def test_a_version_that_reaches_a_parent_stays() -> None:
    record, tree = start(Record(), NEW, 1_000)
    assert (tree, record.trial) == (NEW, NEW)
    record = reached(record, NEW)
    for _ in range(10):
        record, tree = start(record, NEW, 2_000)
        assert (tree, record.trial) == (NEW, "")


def test_one_that_does_not_last_goes_back() -> None:
    record = Record(good=OLD)
    for second in range(MOST_STARTS):
        record, tree = start(record, NEW, 1_000 * second)
        assert tree == NEW
    record, tree = start(record, NEW, 10_000)
    assert (tree, record.refused, record.trial) == (OLD, NEW, "")
    assert "3 times" in record.why
    # it stays refused until the link is taken back; then the same version may come again
    assert start(record, NEW, 20_000)[1] == OLD
    record, tree = start(record, OLD, 30_000)
    assert (tree, record.refused) == (OLD, "")
    assert start(record, NEW, 40_000)[1] == NEW


def test_one_that_lasts_and_reaches_nobody_has_its_time() -> None:
    record, now = Record(good=OLD), 0
    while True:
        record, tree = start(record, NEW, now)
        if tree == OLD:
            break
        now += 2 * LASTING_MS
    assert TRIAL_MS <= now < TRIAL_MS + 2 * LASTING_MS
    assert "no parent" in record.why


def test_an_outage_of_the_site_undoes_nothing() -> None:
    record, _ = start(Record(good=OLD), NEW, 0)
    now = 0
    for _ in range(100):
        now += TRIAL_MS // 2
        record, tree = start(trial.waited(record, now), NEW, now)
        assert tree == NEW


def test_a_clock_set_back_takes_no_time() -> None:
    record, _ = start(Record(good=OLD), NEW, 10 * TRIAL_MS)
    record, tree = start(record, NEW, 5)
    assert (tree, record.since) == (NEW, 5)


def test_a_damaged_record_is_none() -> None:
    for text in ("", "[]", "null", "{", '{"good": 7, "starts": []}', '"x"'):
        assert trial.read(text).trial == ""
    assert trial.read(trial.write(Record(good=OLD, starts=2))) == Record(good=OLD, starts=2)


@given(
    story=st.lists(
        st.tuples(st.sampled_from(["start", "reached", "late", "waited"]), st.sampled_from(["", OLD, NEW, "third"])),
        max_size=40,
    ),
    times=st.lists(st.integers(0, 10 * TRIAL_MS), min_size=40, max_size=40),
)
def test_only_what_is_installed_or_was_good_is_ever_started(story: list[tuple[str, str]], times: list[int]) -> None:
    record, good, bad = Record(), {""}, 0
    for (what, link), now in zip(story, times, strict=False):
        match what:
            case "start":
                record, tree = start(record, link, now)
                assert tree == link or tree in good
                bad = bad + 1 if tree == record.trial != "" else 0
                assert record.starts <= MOST_STARTS
            case "reached" if record.trial:
                good.add(record.trial)
                record = reached(record, record.trial)
            case "late" if record.trial:
                record = trial.late(record)
            case _ if record.trial:
                record = trial.waited(record, now)
