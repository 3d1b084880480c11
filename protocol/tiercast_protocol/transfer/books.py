"""The books of a leg: what a parent published to a child, what came there (docs/protocol.md, section 6).

Rules
- A leg is one session of one child.  Its position is what the sender charged; the child counts the same bytes from its
  end, so at rest the two positions are one.
- Booked are what was published; what was under way when a lane ended (`cut`), which came late or never; and what the
  child counted that this lane did not charge (`found`): it came late or twice, or an earlier life of ours had published
  it and was killed before it wrote that down.
- Only steps are handed out, so whoever writes them down adds them up; what was handed out and is lost shows as a cut
  or as found, never as nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from tiercast_protocol.transfer.events import Child, PublishFrame, SenderCommand

PUBLISHED, CUT, FOUND = "published", "cut", "found"
#: Legs kept of one child; the older ones are over.
_MOST_LEGS = 8


@dataclass(frozen=True, slots=True)
class Account:
    """What the sender's machine holds of a child's lane now."""

    session: int
    charged: int
    received: int


@dataclass(frozen=True, slots=True)
class Place:
    """Where a leg stood: what was charged, and what of it the child had counted."""

    position: int
    received: int


@dataclass(frozen=True, slots=True)
class Step:
    """So many bytes (and frames) more of a leg, for a reason."""

    child: Child
    session: int
    reason: str
    bytes: int
    frames: int


class SentBooks:
    """The books of one sender.

    Args:
        known: where legs of an earlier life of this node stood when they were last written down.
    """

    def __init__(self, known: Mapping[tuple[Child, int], Place] | None = None) -> None:
        self._places: dict[Child, dict[int, Place]] = {}
        for (child, session), place in (known or {}).items():
            self._places.setdefault(child, {})[session] = place
        self._present: dict[Child, int] = {}
        self._bytes: Counter[tuple[Child, int, str]] = Counter()
        self._frames: Counter[tuple[Child, int, str]] = Counter()

    def note(
        self, commands: Iterable[SenderCommand], account_of: Callable[[Child], Account | None], *, heard: Child = ""
    ) -> None:
        """After an event: the commands that came of it, and whose report it was, if it was one."""
        sent: dict[Child, tuple[int, int]] = {heard: (0, 0)} if heard else {}
        for command in commands:
            if isinstance(command, PublishFrame):
                length = sum(piece.length for piece in command.pieces)
                for child in command.children:
                    size, frames = sent.get(child, (0, 0))
                    sent[child] = (size + length, frames + 1)
        for child, (size, frames) in sent.items():
            account = account_of(child)
            if account is not None:
                self._step(child, account, size, frames)

    def _step(self, child: Child, account: Account, sent: int, frames: int) -> None:
        session = account.session
        places = self._places.setdefault(child, {})
        before = self._present.get(child)
        if before != session:
            self._present[child] = session
            over = places.get(before) if before is not None else None
            if before is not None and over is not None:
                self._book(child, before, CUT, over.position - over.received)
                places[before] = Place(over.received, over.received)
        stood = account.charged - sent
        place = places.pop(session, Place(0, 0))
        if place.position != stood:
            self._book(child, session, CUT, place.position - stood)
            if stood == account.received:  # the lane begins, or its charge was lifted by what the child counted
                self._book(child, session, FOUND, stood - place.position)
        if frames:
            self._book(child, session, PUBLISHED, sent, frames)
        places[session] = Place(account.charged, account.received)
        while len(places) > _MOST_LEGS:
            del places[next(iter(places))]

    def _book(self, child: Child, session: int, reason: str, size: int, frames: int = 0) -> None:
        if size > 0:
            self._bytes[child, session, reason] += size
            self._frames[child, session, reason] += frames

    def place(self, child: Child, session: int) -> Place | None:
        """Where a leg stands."""
        return self._places.get(child, {}).get(session)

    def live(self, child: Child, session: int) -> bool:
        """Whether the child was heard in this session in this life of ours, and in no other since."""
        return self._present.get(child) == session

    def places(self) -> dict[tuple[Child, int], Place]:
        """Where all legs stand, to be written down with the steps."""
        return {(child, session): place for child, at in self._places.items() for session, place in at.items()}

    def take(self) -> list[Step]:
        """The steps since the last time."""
        steps = [Step(*key, size, self._frames[key]) for key, size in self._bytes.items()]
        self._bytes.clear()
        self._frames.clear()
        return steps


@dataclass(frozen=True, slots=True)
class Sent:
    """One leg by the parent's book, in bytes."""

    published: int = 0
    frames: int = 0
    cut: int = 0
    found: int = 0


@dataclass(frozen=True, slots=True)
class Came:
    """One leg by the child's book, in bytes.  `lost` and `surplus` are what marks settled."""

    useful: int = 0
    repeated: int = 0
    unasked: int = 0
    refused: int = 0
    frames: int = 0
    lost: int = 0
    surplus: int = 0

    @property
    def arrived(self) -> int:
        """All payload that came."""
        return self.useful + self.repeated + self.unasked + self.refused


@dataclass(frozen=True, slots=True)
class Balance:
    """The two books of a leg, side by side.

    Published = arrived + lost - surplus + left over.  `lost` is what never came, `surplus` what came beyond what was
    published; `left_over` is what nothing explains, and 0 when the books are kept well.
    """

    published: int
    arrived: int
    lost: int
    surplus: int
    left_over: int
    frames_left_over: int

    @property
    def even(self) -> bool:
        """Whether nothing is left over."""
        return self.left_over == 0 and self.frames_left_over == 0


def compare(sent: Sent, came: Came, place: Place, *, over: bool = False) -> Balance:
    """Put the books of the two ends of a leg side by side.

    Args:
        sent: the parent's.
        came: the child's.
        place: where the parent's book stands.
        over: the child has begun another session since, or the parent has begun another life and not heard the child
            in it: who was killed may not have written down the last that the other end did.
    """
    gap = sent.published - came.arrived - came.lost + came.surplus
    counted = came.arrived + came.lost - came.surplus
    behind = max(0, place.received - counted) if over else 0
    ahead = max(0, counted - place.position) if over else 0
    within = min(max(gap, 0), sent.cut + place.position - place.received + behind)
    # Beyond what was published can only come what was there already, what nobody asked for, or what a mark gave up.
    twice = came.lost + came.repeated + came.unasked + came.refused
    beyond = min(max(-gap, 0), sent.found + twice + ahead)
    lost, surplus = came.lost + within, came.surplus + beyond
    # Frames can be told from each other only where no byte was lost or came twice: one that was lost and two that came
    # twice may carry the same bytes, and then nothing but what came twice tells of it.
    whole = not (lost or surplus or sent.cut or sent.found or twice)
    return Balance(
        published=sent.published,
        arrived=came.arrived,
        lost=lost,
        surplus=surplus,
        left_over=gap - within + beyond,
        frames_left_over=sent.frames - came.frames if whole else 0,
    )
