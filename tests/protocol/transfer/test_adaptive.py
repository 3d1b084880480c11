"""Adaptive mode against a link that others use: it yields, keeps its floor, and comes back."""

from __future__ import annotations

import pytest

from tiercast_protocol.transfer.adaptive import LEAST_FLOOR, Adaptive
from tiercast_protocol.transfer.credit import Flow

LINK = 1e6
TRIP = 0.04
STEP = 0.05


class Path:
    """A link of one queue: what we send and what others send stand in it together."""

    def __init__(self, floor: float | None = None) -> None:
        self.adaptive = Adaptive()
        self.adaptive.floor = floor
        self.flow = Flow(0, 8 << 20, 0.0)
        self.flow.rate = self.flow.least_rtt = LINK
        self.queue = self.now = 0.0
        self.said: list[str] = []
        self.sent = 0.0

    def run(self, seconds: float, others: float, demand: float = LINK) -> float:
        """Bytes per second that we got while others sent so many."""
        start, sent = self.now, self.sent
        while self.now < start + seconds:
            wish = min(demand, self.adaptive.rate if self.adaptive.rate is not None else demand)
            # Our own credit: never more than a tenth of a second beyond the trip stands in the queue.
            ours = wish if self.queue < 0.1 * LINK or others else min(wish, LINK)
            self.queue = max(0.0, min(self.queue + (ours + others - LINK) * STEP, 0.4 * LINK))
            share = ours / (ours + others) if ours + others > LINK else 1.0
            got = ours if ours + others <= LINK else LINK * share
            self.sent += got * STEP
            self.now += STEP
            self.flow.trip = TRIP + self.queue / LINK
            self.flow.rate = got
            if (word := self.adaptive.heard(self.flow, self.now)) is not None:
                self.said.append(word)
        return (self.sent - sent) / seconds


def test_alone_it_goes_at_will() -> None:
    path = Path()
    assert path.run(20.0, 0.0) == pytest.approx(LINK, rel=0.02)
    assert path.said == []


def test_it_yields_to_others_and_comes_back() -> None:
    path = Path(floor=50_000.0)
    path.run(5.0, 0.0)
    path.run(5.0, 0.9 * LINK)
    crowded = path.run(10.0, 0.9 * LINK)
    assert 50_000 <= crowded <= 0.2 * LINK
    assert "others need the link" in path.said[0]
    path.run(15.0, 0.0)
    assert path.run(5.0, 0.0) > 0.8 * LINK
    assert "room again" in path.said[-1] or "gone" in path.said[-1]
    assert len(path.said) < 40


def test_never_below_the_floor() -> None:
    path = Path(floor=200_000.0)
    path.run(5.0, 0.0)
    path.run(30.0, 2 * LINK)
    assert path.adaptive.rate == 200_000.0
    path = Path()
    path.run(5.0, 0.0)
    path.run(60.0, 2 * LINK)
    assert path.adaptive.rate == LEAST_FLOOR
