"""Turns and deadlines."""

from __future__ import annotations

from dataclasses import dataclass

from tiercast_protocol.transfer.schedule import Schedule


@dataclass(eq=False)
class One:
    name: str
    ready: bool = False
    due: float = float("inf")
    alive: bool = True


def test_turns_go_round_each_once() -> None:
    schedule: Schedule[One] = Schedule()
    a, b = One("a"), One("b")
    for one in (a, b, a):
        schedule.ready(one)
    assert [schedule.next_turn(), schedule.next_turn(), schedule.next_turn()] == [a, b, None]


def test_the_dead_have_no_turn_and_no_deadline() -> None:
    schedule: Schedule[One] = Schedule()
    a = One("a")
    schedule.ready(a)
    schedule.look_at(a, 1.0)
    a.alive = False
    assert schedule.next_turn() is None
    assert schedule.overdue(2.0) == []
    assert schedule.next_deadline() == float("inf")


def test_deadlines_move_earlier_and_come_once() -> None:
    schedule: Schedule[One] = Schedule()
    a, b = One("a"), One("b")
    schedule.look_at(a, 3.0)
    schedule.look_at(b, 2.0)
    schedule.look_at(a, 1.0)
    schedule.look_at(a, 5.0)
    assert schedule.next_deadline() == 1.0
    assert schedule.overdue(2.5) == [a, b]
    assert schedule.overdue(9.0) == []
