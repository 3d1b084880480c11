"""What an owner may choose: any story keeps the limits, and what was chosen is read back as it was."""

from __future__ import annotations

import sqlite3
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiercast_endpoint.owner import choices
from tiercast_endpoint.owner.choices import ALL, Choice, Terms, says
from tiercast_protocol.content.jobs.provisos import Provisos
from tiercast_protocol.errors import UsageError

HOUR = 3_600_000
FREE = Terms("j1", "install", 100 * HOUR, Provisos())

limits = st.builds(
    Provisos,
    defer_max=st.none() | st.integers(0, 3),
    defer_until=st.sampled_from([0, 5 * HOUR, 200 * HOUR]),
    rejectable=st.booleans(),
)
types = st.sampled_from(["install", "remove", "run", "restart", "offer", "message", "inventory"])
moves = st.tuples(
    st.sampled_from(["hold", "hold all", "release", "release all", "defer", "reject", "accept", "decline", "begin"]),
    st.integers(-2, 120),
)


@given(limits, types, st.lists(moves, max_size=30))
def test_no_story_puts_off_beyond_the_limits(provisos: Provisos, type_: str, story: list[tuple[str, int]]) -> None:
    choice, all_, now = Choice("j1"), Choice(), HOUR
    terms = Terms("j1", type_, 100 * HOUR, provisos)
    told: list[UsageError] = []
    for move, number in story:
        before = choice
        try:
            match move:
                case "hold":
                    choice = choices.hold(choice, terms, "alice", now)
                case "hold all":
                    all_ = Choice(held=now, by="bob")
                case "release all":
                    all_ = Choice()
                case "release":
                    choice = choices.release(choice, "j1", "alice", now)
                case "defer":
                    choice = choices.defer(choice, terms, now + number * HOUR, "alice", now)
                case "reject":
                    choice = choices.reject(choice, terms, "alice", now)
                case "accept" | "decline":
                    choice = choices.answer(choice, terms, move == "accept", "alice", now)
                case _:
                    terms = replace(terms, begun=True)
        except UsageError as error:
            told.append(error)
        now += 1 + number * HOUR // 10 if number > 0 else 1
        assert provisos.defer_max is None or choice.times <= provisos.defer_max
        assert choice.until <= terms.latest
        assert choice.times >= before.times
        assert not terms.begun or move in {"release", "begin"} or choice == before
        said = says(choice, all_, terms, now)
        if provisos.limited and (said.install is not None and said.install.code != "offer.open"):
            assert said.install.code == "owner.deferred"
            assert said.install.until <= terms.latest
        if said.end is not None:
            assert choice.answer == "declined" or provisos.rejectable
        if said.install is not None and said.install.code == "offer.open":
            assert type_ == "offer"
        if type_ in {"message", "inventory"}:
            assert (said.fetch, said.install) == (None, None)
    assert all(error.todo for error in told)


def test_what_is_refused_says_the_figures() -> None:
    limited = replace(FREE, provisos=Provisos(defer_max=2, defer_until=5 * HOUR))
    once = choices.defer(Choice("j1"), limited, 4 * HOUR, "alice", HOUR)
    assert (once.times, once.until) == (1, 4 * HOUR)
    with pytest.raises(UsageError, match=r"deferred 1 of 2 times, and not beyond .*; .* was asked for") as caught:
        choices.defer(once, limited, 6 * HOUR, "alice", HOUR)
    assert caught.value.code == "owner.spent"
    with pytest.raises(UsageError, match="can't be held: deferred 1 of 2 times"):
        choices.hold(once, limited, "alice", HOUR)
    with pytest.raises(UsageError, match="That time is over"):
        choices.defer(once, limited, HOUR, "alice", HOUR)
    with pytest.raises(UsageError, match="has begun") as caught:
        choices.hold(Choice("j1"), replace(FREE, begun=True), "alice", HOUR)
    assert caught.value.code == "owner.late"
    with pytest.raises(UsageError, match="disturbs nobody"):
        choices.hold(Choice("j1"), replace(FREE, type="message"), "alice", HOUR)
    with pytest.raises(UsageError, match="is no offer"):
        choices.answer(Choice("j1"), FREE, True, "alice", HOUR)


def test_all_are_held_but_what_has_limits() -> None:
    all_ = Choice(held=HOUR, by="bob")
    held = says(choices.NOTHING, all_, FREE, HOUR)
    assert held.fetch is not None
    assert held.fetch.get("others") == "all others"
    assert says(choices.NOTHING, all_, replace(FREE, provisos=Provisos(defer_max=0)), HOUR) == choices.Said()


def test_a_deferral_ends_by_itself_and_its_count_stays() -> None:
    choice = choices.defer(Choice("j1"), FREE, 4 * HOUR, "alice", HOUR)
    said = says(choice, Choice(), FREE, 4 * HOUR - 1)
    assert said.fetch is None
    assert said.install is not None
    assert said.install.until == 4 * HOUR
    assert says(choice, Choice(), FREE, 4 * HOUR) == choices.Said()
    assert choices.remark(choice) == "Deferred once, last by alice."
    assert choices.remark(choices.defer(choice, FREE, 9 * HOUR, "bob", 5 * HOUR)) == "Deferred 2 times, last by bob."
    assert choices.remark(Choice()) == ""


def test_an_owner_has_time_to_choose_before_the_machine_goes_down() -> None:
    down = replace(FREE, type="shutdown")

    def code(choice: Choice, terms: Terms, now: int = HOUR) -> str:
        said = says(choice, Choice(), terms, now, notice=2 * HOUR)
        return said.install.code if said.install is not None else ""

    assert code(Choice(), down) == "owner.notice"
    assert code(Choice(), down, 2 * HOUR) == "", "the time is over"
    assert code(Choice(), FREE) == "", "an installation disturbs less"
    assert code(Choice(), replace(down, provisos=Provisos(defer_max=0))) == "", "nothing is left to him"
    assert code(Choice(), replace(down, provisos=Provisos(defer_max=0, rejectable=True))) == "owner.notice"
    assert code(Choice(), replace(down, provisos=Provisos(defer_until=HOUR))) == ""
    deferred = choices.defer(Choice("j1"), down, 3 * HOUR // 2, "alice", HOUR)
    assert code(deferred, down) == "owner.deferred"
    assert code(deferred, down, 3 * HOUR // 2) == "", "he was asked, and it was he who named the time"
    assert code(choices.release(Choice("j1"), "j1", "alice", HOUR, preferred=True), down) == ""
    assert code(choices.reject(Choice("j1"), replace(down, provisos=Provisos(rejectable=True)), "a", HOUR), down) == ""


def test_rows_come_back_as_they_were() -> None:
    connection = sqlite3.connect(":memory:")
    connection.executescript(choices.SCHEMA + "CREATE TABLE job (job TEXT);")
    one, all_ = Choice("j1", 1, 2, 3, "accepted", "alice", 4), Choice(ALL, 5, by="bob", at=5)
    choices.put(connection, one)
    choices.put(connection, all_)
    assert choices.load(connection) == {"j1": one, ALL: all_}
    choices.prune(connection)
    assert choices.load(connection) == {ALL: all_}, "the job is forgotten"
    connection.close()
