"""A reason is a value; sentences are made of it; what a peer says is read as far as it can be meant."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiercast_protocol.content.jobs.reason import Reason, because, freed, meant_by, packed, read, shown, todo, words
from tiercast_protocol.content.jobs.waiting import KINDS

facts = st.text(max_size=9) | st.integers(-(1 << 52), 1 << 52) | st.floats(-1e9, 1e9)
plain = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
anything = st.recursive(
    plain, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
)


def test_a_reason_says_what_frees_it_and_what_a_person_can_do() -> None:
    reason = because("suspended", node="berlin", peer="pc-1", by="anna@server", since=5, until=1_800_000_000_000)
    assert words(reason).startswith("suspended by anna@server until 2027-01-15")
    assert freed(reason).startswith("whoever suspended it resumes it, or it is 2027")
    assert "tiercast link resume pc-1 --node berlin" in todo(reason)
    said: dict[str, Any] = {"by": "anna@server", "at": "server"}
    for what, then in (
        ("job", "tiercast job resume JOB, at server"),
        ("node", "tiercast node resume berlin, at server"),
        ("link", "tiercast link resume pc-1 --node low, at server"),
    ):
        of = "berlin" if what == "node" else None
        assert todo(because("suspended", node="low", peer="pc-1", what=what, of=of, **said)) == then
    body = shown(reason)
    assert (body["code"], body["node"], body["since"], body["facts"]) == (
        "suspended",
        "berlin",
        5,
        {"by": "anna@server"},
    )


def test_what_is_not_known_is_left_out() -> None:
    assert words(because("suspended")) == "suspended"
    assert words(because("depot.full", node="low", free=0)) == "the depot of low has no room"
    assert words(because("depot.full", node="low", free=4096)) == "the depot of low has no room: 4,096 bytes are free"
    assert words(Reason("away")) == "? is not connected to ?"
    assert words(Reason("of.a.later.version")) == "of.a.later.version"
    assert todo(Reason("of.a.later.version")) == ""
    assert because("rate", rate=None) == because("rate")


def test_our_own_misuse_raises() -> None:
    with pytest.raises(ValueError, match=r"no reason is called 'unheard.of'"):
        because("unheard.of")
    with pytest.raises(ValueError, match="'away' has no figure speed"):
        because("away", speed=9)


def test_a_reason_knows_its_place_only_once() -> None:
    reason = because("away", node="low").at(node="mid", peer="pc", since=7)
    assert (reason.node, reason.peer, reason.since) == ("low", "pc", 7)


@given(st.sampled_from(sorted(KINDS)), st.data(), st.integers(0, 1 << 50), st.integers(0, 1 << 50))
def test_every_code_has_words_and_travels(code: str, data: st.DataObject, since: int, until: int) -> None:
    known = KINDS[code].fields
    said = data.draw(st.fixed_dictionaries({}, optional=dict.fromkeys(sorted(known), facts)))
    until = min(until, 200_000_000_000_000)
    reason = because(code, node="low", peer="pc", since=since, until=until, **said)
    assert words(reason)
    assert freed(reason)
    assert isinstance(todo(reason), str)
    assert read(*packed(reason), node="low") == reason
    assert meant_by(shown(reason)) == reason


@given(st.text(), anything)
def test_what_a_peer_says_is_read_or_passed_over(code: str, said: object) -> None:
    for name in (code, "suspended", "rate"):
        reason = read(name, said)
        assert isinstance(words(reason), str)
        assert isinstance(freed(reason), str)
        hash(reason)


def test_moments_that_no_calendar_has_are_told_as_numbers() -> None:
    assert str((1 << 53) - 1)[:4] in words(read("suspended", {"until": (1 << 53) - 1})).replace(",", "")


def test_a_text_is_shown_as_it_is_and_its_length_bounded() -> None:
    assert words(read("rate", "5 at most")) == "5 at most"
    assert len(words(read("rate", "x" * 9000))) == 1000
    assert read("rate", '{"rate": ').facts == ()
