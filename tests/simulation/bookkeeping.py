"""The ledger of a simulated node: what of its books stands on its disk, and both ends of a leg side by side.

Rules
- It is written every half second: who is killed loses what it counted since, as a real node does.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import fields
from typing import Any

from tests.simulation.world import World

from tiercast_protocol.transfer.books import CUT, FOUND, PUBLISHED, Balance, Came, Place, Sent, SentBooks, compare
from tiercast_protocol.transfer.receiver import Receiver


class Bookkeeper:
    """What of a node its ledger is about."""

    #: Another one, above; None at the top.
    parent: Any
    receiver: Receiver | None

    def __init__(self, world: World, name: str) -> None:
        self.world, self.name = world, name
        #: What its ledger says, as it stands on its disk.
        self.written: Counter[tuple[str, int, str]] = Counter()
        self.places: dict[tuple[str, int], Place] = {}
        self._written_at = 0.0

    def open_books(self) -> None:
        """A life begins."""
        self.books = SentBooks(self.places)
        self._counted: dict[str, int] = {}

    def write_down(self, *, now: bool = False) -> None:
        """Every half second: who is killed loses what it counted since."""
        if not now and self.world.now < self._written_at + 0.5:
            return
        self._written_at = self.world.now
        for step in self.books.take():
            self.written[step.child, step.session, step.reason] += step.bytes
            self.written[step.child, step.session, f"{step.reason} frames"] += step.frames
        self.places.update(self.books.places())
        if self.receiver is not None and self.parent is not None:
            counters = {field.name: getattr(self.receiver.counters, field.name) for field in fields(Came)}
            for name, count in counters.items():
                self.written[self.parent.name, self.receiver.session, name] += count - self._counted.get(name, 0)
            self._counted = counters

    def balances(self) -> dict[int, Balance]:
        """The books of this node's leg to its parent and of its parent, side by side, by session."""
        assert self.parent is not None
        assert self.receiver is not None
        parent: Bookkeeper = self.parent
        found: dict[int, Balance] = {}
        for (child, session), place in parent.places.items():
            if child != self.name:
                continue
            sent = Sent(
                published=parent.written[child, session, PUBLISHED],
                frames=parent.written[child, session, f"{PUBLISHED} frames"],
                cut=parent.written[child, session, CUT],
                found=parent.written[child, session, FOUND],
            )
            came = Came(**{field.name: self.written[parent.name, session, field.name] for field in fields(Came)})
            found[session] = compare(
                sent, came, place, over=session != self.receiver.session or not parent.books.live(self.name, session)
            )
        return found
