"""Counts against budgets: over lanes that begin anew, over restarts, from period to period."""

from __future__ import annotations

from datetime import datetime

from tiercast_gateway.steering.budgets import ALL, Budgets, of_link, period_end, period_of
from tiercast_protocol.transfer.terms import Quota

NOON = datetime(2026, 11, 21, 12).timestamp()  # noqa: DTZ001 - days as people here count them
DAY = 86_400.0


def test_periods_are_those_of_the_calendar_on_the_wall() -> None:
    assert [period_of(per, NOON) for per in ("day", "week", "month", "job")] == [
        "2026-11-21",
        "2026-w47",
        "2026-11",
        "job",
    ]
    assert period_of("day", NOON + 12 * 3600) == "2026-11-22"


def test_a_period_ends_where_the_next_begins() -> None:
    for per in ("day", "week", "month"):
        end = period_end(per, NOON)
        assert period_of(per, end - 1) == period_of(per, NOON) != period_of(per, end)
    assert period_end("job", NOON) == 0


def test_what_a_link_gives_each_job_is_counted_beside_what_the_job_gives_itself() -> None:
    quotas = {
        ("pc", "j1"): Quota("day", 9000),
        ("pc", of_link("j1")): Quota("job", 100),
        (ALL, of_link("j1")): Quota("job", 1),
    }
    budgets = Budgets()
    budgets.look(quotas, {("pc", "j1"): 300, ("two", "j1"): 50, ("pc", "j2"): 7}, wall=NOON, passed=1)
    budgets.look(quotas, {("pc", "j1"): 320, ("two", "j1"): 50}, wall=NOON + DAY, passed=1)
    assert [budgets.spent(pair).bytes for pair in quotas] == [20, 320, 370]
    budgets.forget(["j1"])
    assert [budgets.spent(pair).bytes for pair in quotas] == [0, 0, 0]


def test_bytes_and_seconds_are_counted_over_lanes_and_processes() -> None:
    quotas = {("pc", "j1"): Quota("job", 1000), ("pc", ALL): Quota("day", seconds=60)}
    budgets = Budgets()
    budgets.look(quotas, {("pc", "j1"): 300, ("pc", "j2"): 50}, wall=NOON, passed=0.25)
    budgets.look(quotas, {("pc", "j1"): 300, ("pc", "j2"): 50}, wall=NOON, passed=0.25)
    assert budgets.spent(("pc", "j1")).bytes == 300
    assert (budgets.spent(("pc", ALL)).bytes, budgets.spent(("pc", ALL)).seconds) == (350, 0.25)
    # the lane began anew
    budgets.look(quotas, {("pc", "j1"): 100}, wall=NOON, passed=0.25)
    assert budgets.spent(("pc", "j1")).bytes == 400
    rows = {name: body for name, body in budgets.unsaved().items() if body is not None}
    assert not budgets.unsaved()
    after = Budgets()
    after.load(rows)
    after.look(quotas, {("pc", "j1"): 100}, wall=NOON, passed=0.25)
    assert after.spent(("pc", "j1")).bytes == 500
    assert after.spent(("pc", ALL)).seconds == 0.75


def test_another_period_begins_with_nothing_spent_whichever_way_the_clock_steps() -> None:
    quotas = {("pc", ALL): Quota("day", 1000)}
    for step in (DAY, -365 * DAY, 365 * DAY):
        budgets = Budgets()
        budgets.look(quotas, {("pc", "j1"): 900}, wall=NOON, passed=1)
        budgets.look(quotas, {("pc", "j1"): 950}, wall=NOON + step, passed=1)
        assert budgets.spent(("pc", ALL)).bytes == 50


def test_what_was_sent_before_the_first_budget_does_not_count() -> None:
    quotas = {("pc", ALL): Quota("day", 1000)}
    budgets = Budgets()
    budgets.begin({("pc", "j1"): 5000})
    budgets.look(quotas, {("pc", "j1"): 5300, ("two", "j1"): 200}, wall=NOON, passed=1)
    assert budgets.spent(("pc", ALL)).bytes == 300


def test_a_job_that_is_over_is_forgotten() -> None:
    budgets = Budgets()
    budgets.look({("pc", "j1"): Quota("job", 1000)}, {("pc", "j1"): 300}, wall=NOON, passed=1)
    budgets.unsaved()
    budgets.forget(["j1"])
    assert budgets.unsaved() == {"pc|j1": None}
    assert budgets.spent(("pc", "j1")).bytes == 0
