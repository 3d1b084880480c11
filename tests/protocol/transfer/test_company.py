"""What all lanes together say: exactly where they are few, from time to time where they are many."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from tiercast_protocol.transfer.company import CROWD, STANDS, Company
from tiercast_protocol.transfer.credit import Flow
from tiercast_protocol.transfer.lanes import Lane, usual
from tiercast_protocol.transfer.lanestates import LAG_AFTER
from tiercast_protocol.transfer.links import Link


def company(count: int) -> tuple[Company, dict[str, Lane]]:
    lanes = {}
    for number in range(count):
        name = f"p{number}"
        flow = Flow(0, 1 << 20, 0.0)
        lanes[name] = Lane(child=name, session=1, flow=flow, link=Link(name), mark=0, answered=0, heard_at=0.0)
        lanes[name].flow.longest = 0.1
    return Company(lanes), lanes


@pytest.mark.parametrize("count", [3, 4 * CROWD])
def test_one_is_late_when_the_others_wait_for_more_and_go_on(count: int) -> None:
    together, lanes = company(count)
    late = lanes["p0"]
    late.flow.charge(1 << 19, 0.0)
    assert not together.waits_for(late, 1.0), "nobody went on since"
    for lane in lanes.values():
        lane.flow.progress_at = 1.0
    assert together.waits_for(late, 1.01 + STANDS)
    for lane in lanes.values():
        if lane is not late:
            lane.flow.charge(1 << 19, 1.0)
    assert not together.waits_for(late, 1.02 + 2 * STANDS), "all have much under way"


def test_what_is_usual_leaves_the_one_out_where_they_are_few() -> None:
    together, lanes = company(3)
    lanes["p0"].flow.longest = 9.0
    assert together.usual(0.0, lanes["p0"]) == pytest.approx(0.2)
    assert together.usual(0.0, lanes["p1"]) == pytest.approx(0.2)


def test_in_a_crowd_all_are_looked_at_once_in_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    together, lanes = company(CROWD)
    looks: list[int] = []

    def counted(lanes: Iterable[Lane], but: Lane | None = None) -> float:
        looks.append(1)
        return usual(lanes, but)

    monkeypatch.setattr("tiercast_protocol.transfer.company.usual", counted)
    for _ in range(10):
        for lane in lanes.values():
            assert together.usual(5.0, lane) == pytest.approx(0.2)
    assert len(looks) == 1
    for lane in lanes.values():
        lane.flow.longest = 0.3
    assert together.usual(5.01 + STANDS) == pytest.approx(0.6)
    assert STANDS < LAG_AFTER
