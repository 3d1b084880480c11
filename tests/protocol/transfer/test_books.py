"""The books of the two ends of a leg: what is published is found again, whatever is lost, doubled or killed."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tiercast_protocol.transfer.books import (
    CUT,
    FOUND,
    PUBLISHED,
    Account,
    Balance,
    Came,
    Place,
    Sent,
    SentBooks,
    Step,
    compare,
)
from tiercast_protocol.transfer.events import PublishFrame
from tiercast_protocol.wire.messages import Piece


def frame(length: int, *children: str) -> PublishFrame:
    return PublishFrame(1, None if len(children) == 1 else 7, children, (Piece(b"d" * 32, length, 0, length),))


def test_a_frame_of_a_group_stands_in_the_book_of_each_member() -> None:
    books = SentBooks()
    accounts = {"a": Account(1, 100, 0), "b": Account(2, 100, 0)}
    books.note([frame(100, "a", "b")], accounts.get)
    assert books.take() == [Step("a", 1, PUBLISHED, 100, 1), Step("b", 2, PUBLISHED, 100, 1)]
    assert books.take() == []
    assert books.place("a", 1) == Place(100, 0)
    assert books.live("a", 1)
    assert not SentBooks(books.places()).live("a", 1)


def test_what_was_under_way_when_a_child_begins_anew_is_cut() -> None:
    books = SentBooks()
    books.note([frame(100, "a")], lambda _child: Account(1, 100, 30))
    books.note([], lambda _child: Account(2, 0, 0), heard="a")
    assert Step("a", 1, CUT, 70, 0) in books.take()


def test_a_lane_that_begins_anew_says_what_came_of_the_last_one() -> None:
    books = SentBooks()
    books.note([frame(100, "a")], lambda _child: Account(1, 100, 0))
    books.note([], lambda _child: Account(1, 40, 40), heard="a")
    books.note([], lambda _child: Account(1, 90, 90), heard="a")  # it came late
    assert books.take() == [
        Step("a", 1, PUBLISHED, 100, 1),
        Step("a", 1, CUT, 60, 0),
        Step("a", 1, FOUND, 50, 0),
    ]


def test_what_an_earlier_life_published_and_did_not_write_down_is_found() -> None:
    books = SentBooks({("a", 1): Place(100, 100)})
    books.note([frame(10, "a")], lambda _child: Account(1, 160, 150), heard="a")
    assert books.take() == [Step("a", 1, FOUND, 50, 0), Step("a", 1, PUBLISHED, 10, 1)]


def test_only_the_newest_sessions_of_a_child_are_remembered() -> None:
    books = SentBooks()
    for session in range(1000):
        books.note([], lambda _child, session=session: Account(session, 0, 0), heard="a")
    assert len(books.places()) < 20
    assert books.place("a", 999) == Place(0, 0)


def test_nothing_is_noted_of_a_child_without_a_lane() -> None:
    books = SentBooks()
    books.note([frame(1, "a")], lambda _child: None, heard="b")
    assert books.take() == []


@pytest.mark.parametrize(
    ("sent", "came", "balance"),
    [
        (Sent(100, 2), Came(useful=100, frames=2), Balance(100, 100, 0, 0, 0, 0)),
        (Sent(100, 2), Came(useful=100, frames=1), Balance(100, 100, 0, 0, 0, 1)),
        (Sent(100, 2), Came(useful=60, frames=1), Balance(100, 60, 0, 0, 40, 0 + 1)),
        (Sent(100, 2), Came(useful=60, frames=1, lost=40), Balance(100, 60, 40, 0, 0, 0)),
        (Sent(100, 2, cut=50), Came(useful=60, frames=1), Balance(100, 60, 40, 0, 0, 0)),
        (Sent(100, 2), Came(useful=100, repeated=20, frames=3), Balance(100, 120, 0, 20, 0, 0)),
        (Sent(100, 2), Came(useful=120, frames=3), Balance(100, 120, 0, 0, -20, -1)),
        (Sent(100, 2, found=20), Came(useful=120, frames=3), Balance(100, 120, 0, 20, 0, 0)),
    ],
)
def test_side_by_side(sent: Sent, came: Came, balance: Balance) -> None:
    assert compare(sent, came, Place(100, 100)) == balance
    assert balance.published == balance.arrived + balance.lost - balance.surplus + balance.left_over


def test_what_is_under_way_is_no_gap() -> None:
    assert compare(Sent(100, 2), Came(useful=60, frames=1), Place(100, 60)).even
    assert compare(Sent(100, 2), Came(useful=60, frames=1), Place(100, 61)).left_over == 1


def test_what_one_end_did_not_write_down_before_it_was_killed_is_no_gap_once_the_session_is_over() -> None:
    assert compare(Sent(100, 1), Came(), Place(100, 100), over=True).even
    assert compare(Sent(100, 1), Came(), Place(100, 100)).left_over == 100
    assert compare(Sent(), Came(useful=100, frames=1), Place(0, 0), over=True).even
    assert compare(Sent(), Came(useful=100, frames=1), Place(0, 0)).left_over == -100


@settings(max_examples=300)
@given(st.integers(0, 1 << 32))
def test_any_story_of_a_leg_adds_up(seed: int) -> None:
    """Frames come, get lost, or come late; lanes and both ends begin anew; what is written down may be behind."""
    rng = random.Random(seed)
    books, written, places = SentBooks(), dict.fromkeys((PUBLISHED, CUT, FOUND), 0), {}
    charged = received = arrived = 0
    under_way: list[int] = []

    def account(_child: str) -> Account:
        return Account(1, charged, received)

    for _ in range(40):
        match rng.randrange(6):
            case 0 | 1 | 2:
                size = rng.randint(1, 100)
                charged += size
                under_way.append(size)
                books.note([frame(size, "a")], account)
            case 3 if under_way:
                size = under_way.pop(rng.randrange(len(under_way)))
                arrived += size
                received = arrived
                charged = max(charged, received)
                books.note([], account, heard="a")
            case 4:  # the lane begins anew from what the child counted
                received = charged = arrived
                books.note([], account, heard="a")
            case _:
                for step in books.take():
                    written[step.reason] += step.bytes
                places = books.places()
                if rng.random() < 0.3:
                    books = SentBooks(places)
    for step in books.take():
        written[step.reason] += step.bytes
    place = books.place("a", 1) or Place(0, 0)
    sent = Sent(written[PUBLISHED], 0, written[CUT], written[FOUND])
    assert compare(sent, Came(useful=arrived), place).left_over == 0


def test_a_lost_frame_made_up_by_two_that_came_twice_is_no_frame_too_many() -> None:
    # 40,960 bytes in nine frames, one of 8,192; that one was lost and sent again, two of 4,096 came twice.
    sent = Sent(published=49_152, frames=10)
    came = Came(useful=40_960, repeated=8_192, frames=11)
    assert compare(sent, came, Place(49_152, 49_152)).even


def test_a_frame_too_many_is_told_where_nothing_came_twice() -> None:
    balance = compare(Sent(published=8_192, frames=1), Came(useful=8_192, frames=2), Place(8_192, 8_192))
    assert (balance.left_over, balance.frames_left_over, balance.even) == (0, -1, False)
