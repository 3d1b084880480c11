"""When which chunks of a depot are proved: a pure machine, by the clock that never steps.

Rules
- A round goes once through the store in the order of the disk; it goes on where it stopped, whatever stopped it.
- By itself: once in `period` seconds of running, spread evenly over nine tenths of it.  By order: at once, at its
  own pace, over everything or one package; the round by itself waits meanwhile.
- Low priority: while transfers move bytes an eighth of the pace is left to it, never nothing.
- Time counts only while the daemon runs: neither a step of the wall clock nor a week switched off hurries it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

#: Bytes per second of an ordered audit when nobody says more; the least of one by itself; the share beside transfers.
ORDERED_RATE = 64 << 20
LEAST_RATE = 64 << 10
BUSY_SHARE = 8
#: Share of the period over which a round by itself is spread.
SPREAD = 0.9
#: A portion is what the pace gives in this time, within these bounds; and the longest pause between two looks.
PORTION_SECONDS = 0.25
SMALLEST, LARGEST = 64 << 10, 4 << 20
LOOK_SECONDS = 5.0
#: Moved bytes per second from which transfers count as running.
BUSY_BYTES = 32 << 10


@dataclass(frozen=True, slots=True)
class Round:
    """One way through the store.

    `after` is (section, offset) of the last chunk proved; `elapsed` seconds of running since it began; `began` and
    `ended` (0: it runs) are milliseconds since 1970, for people.  `package` is the root it is limited to, or "".
    """

    began: int
    package: str = ""
    rate: int = 0
    repair: bool = True
    after: tuple[int, int] = (-1, -1)
    elapsed: float = 0.0
    ended: int = 0
    total: int = 0
    bytes: int = 0
    chunks: int = 0
    damaged: int = 0
    lost: int = 0


@dataclass(frozen=True, slots=True)
class Looked:
    """It is time; the store holds `held` bytes, and transfers moved `moved` bytes since this node started."""

    held: int
    moved: int
    wall: int


@dataclass(frozen=True, slots=True)
class PortionProved:
    """What `ProvePortion` came to; `after` is where it ended, None when nothing lies behind."""

    after: tuple[int, int] | None
    bytes: int
    chunks: int
    damaged: int
    lost: int
    wall: int


@dataclass(frozen=True, slots=True)
class AuditOrdered:
    """Somebody wants an audit now: of the package with this root, or of everything; `rate` 0 is our own pace."""

    package: str
    rate: int
    repair: bool
    wall: int


Event = Looked | PortionProved | AuditOrdered


@dataclass(frozen=True, slots=True)
class ProvePortion:
    """Prove at most `most` bytes behind `after`, one chunk at least; answer `PortionProved`."""

    after: tuple[int, int]
    most: int
    package: str
    repair: bool


@dataclass(frozen=True, slots=True)
class LookAgain:
    """Say `Looked` in so many seconds, or when an audit is ordered."""

    seconds: float


@dataclass(frozen=True, slots=True)
class RoundEnded:
    """A round went through."""

    kind: str
    round: Round


Command = ProvePortion | LookAgain | RoundEnded

ORDERED, OWN = "ordered", "own"


class Audit:
    """The rounds of one store.

    Args:
        period: seconds in which a round by itself is made; None makes none.
        rounds: what was remembered of both kinds.
    """

    def __init__(self, period: float | None, rounds: dict[str, Round] | None = None) -> None:
        self._period = period
        #: The round of each kind that runs, or ran last.
        self.rounds: dict[str, Round] = dict(rounds or {})
        self._now: float | None = None
        self._moved: tuple[float, int] | None = None
        self.busy = False
        self._next = 0.0
        self._proving: str = ""

    @property
    def running(self) -> str:
        """The kind of round that is under way, "" for none."""
        return next((kind for kind in (ORDERED, OWN) if (r := self.rounds.get(kind)) and not r.ended), "")

    def failed(self) -> None:
        """What `ProvePortion` asked for came to nothing: it is asked for again."""
        self._proving = ""

    def handle(self, event: Event, *, now: float) -> list[Command]:
        """Take an event; what to do.  `now` is seconds of a clock that never steps back."""
        self._pass(now)
        match event:
            case AuditOrdered(package, rate, repair, wall):
                current = self.rounds.get(ORDERED)
                same = current is not None and not current.ended and current.package == package
                if same and current is not None:
                    self.rounds[ORDERED] = replace(current, rate=rate, repair=repair)
                else:
                    self.rounds[ORDERED] = Round(wall, package, rate, repair)
                    # What is being proved belongs to the round before.
                    self._proving = OWN if self._proving == OWN else ""
                self._next = now
                return [LookAgain(0.0)]
            case Looked():
                return self._look(event, now)
            case PortionProved():
                return self._proved(event, now)

    def _pass(self, now: float) -> None:
        gone = max(0.0, now - self._now) if self._now is not None else 0.0
        self._now = now
        for kind, one in self.rounds.items():
            # The own round's time runs on after its end: the next one begins a period after this one did.
            if kind == OWN or not one.ended:
                self.rounds[kind] = replace(one, elapsed=one.elapsed + gone)

    def _look(self, event: Looked, now: float) -> list[Command]:
        self._measure(event.moved, now)
        if self._period is not None:
            own = self.rounds.get(OWN)
            if own is None or (own.ended and own.elapsed >= self._period):
                self.rounds[OWN] = Round(event.wall)
        kind = self.running
        if not kind or self._proving:
            return [LookAgain(LOOK_SECONDS)]
        if now < self._next:
            return [LookAgain(min(LOOK_SECONDS, self._next - now))]
        one = self.rounds[kind] = replace(self.rounds[kind], total=max(event.held, self.rounds[kind].bytes))
        most = int(min(LARGEST, max(SMALLEST, self.rate() * PORTION_SECONDS)))
        self._proving = kind
        return [ProvePortion(one.after, most, one.package, one.repair)]

    def _measure(self, moved: int, now: float) -> None:
        if self._moved is not None and now - self._moved[0] < 1.0:
            return
        if self._moved is not None:
            self.busy = moved - self._moved[1] > BUSY_BYTES * (now - self._moved[0])
        self._moved = (now, moved)

    def rate(self) -> float:
        """Bytes per second at which the present round goes on."""
        kind = self.running
        if not kind:
            return 0.0
        one = self.rounds[kind]
        if kind == ORDERED:
            full = float(one.rate or ORDERED_RATE)
        else:
            left = max(1.0, SPREAD * (self._period or 1.0) - one.elapsed)
            full = max(LEAST_RATE, (one.total - one.bytes) / left)
        return full / BUSY_SHARE if self.busy else full

    def _proved(self, event: PortionProved, now: float) -> list[Command]:
        kind, self._proving = self._proving, ""
        if not kind:
            return [LookAgain(0.0)]
        pace = max(1.0, self.rate())
        one = self.rounds[kind] = _added(self.rounds[kind], event)
        self._next = max(self._next, now - PORTION_SECONDS) + event.bytes / pace
        if event.after is not None:
            return [LookAgain(max(0.0, min(LOOK_SECONDS, self._next - now)))]
        self.rounds[kind] = one = replace(one, ended=event.wall)
        if kind == ORDERED and not one.package:
            # All was proved a moment ago: the next round by itself begins a period from here.
            self.rounds[OWN] = replace(one, elapsed=0.0)
        return [RoundEnded(kind, one), LookAgain(LOOK_SECONDS)]


def _added(one: Round, event: PortionProved) -> Round:
    return replace(
        one,
        after=event.after or one.after,
        bytes=one.bytes + event.bytes,
        chunks=one.chunks + event.chunks,
        damaged=one.damaged + event.damaged,
        lost=one.lost + event.lost,
        total=max(one.total, one.bytes + event.bytes),
    )
