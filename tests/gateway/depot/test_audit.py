"""When chunks are proved: every one once a round, at the pace that was promised, in any story."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from tiercast_gateway.depot.audit import (
    BUSY_SHARE,
    LARGEST,
    ORDERED,
    OWN,
    SMALLEST,
    SPREAD,
    Audit,
    AuditOrdered,
    Command,
    LookAgain,
    Looked,
    PortionProved,
    ProvePortion,
    RoundEnded,
)

CHUNK = 64 << 10


@dataclass
class Lab:
    """A store of `count` chunks on virtual time; transfers move `traffic` bytes a second."""

    audit: Audit
    count: int = 100
    now: float = 0.0
    traffic: float = 0.0
    proved: list[tuple[str, int]] = field(default_factory=list)
    ended: list[RoundEnded] = field(default_factory=list)

    def run(self, seconds: float, *, until_ended: int = 1 << 30) -> None:
        end = self.now + seconds
        while self.now < end and len(self.ended) < until_ended:
            moved = int(self.traffic * self.now)
            self.obey(self.audit.handle(Looked(self.count * CHUNK, moved, wall=1), now=self.now))

    def obey(self, commands: list[Command]) -> None:
        for command in commands:
            match command:
                case ProvePortion(after, most):
                    first = after[1] + 1
                    some = list(range(first, min(self.count, first + max(1, most // CHUNK))))
                    kind = self.audit.running
                    self.proved += [(kind, n) for n in some]
                    place = (1, some[-1]) if some and some[-1] + 1 < self.count else None
                    done = PortionProved(place, len(some) * CHUNK, len(some), 0, 0, wall=2)
                    self.obey(self.audit.handle(done, now=self.now))
                case LookAgain(seconds):
                    self.now += max(seconds, 0.001)
                case RoundEnded():
                    self.ended.append(command)


def test_by_itself_all_is_proved_once_a_period_and_evenly() -> None:
    lab = Lab(Audit(period=1000.0), count=2000)
    lab.run(450.0)
    half = len(lab.proved)
    assert 900 <= half <= 1100, "half of the spread, half of the chunks"
    lab.run(1000.0, until_ended=1)
    assert [n for _, n in lab.proved] == list(range(2000))
    assert SPREAD * 1000 - 30 <= lab.now <= 1000
    lab.run(1005.0 - lab.now)
    assert lab.audit.running == OWN, "the next round begins a period after the first"


def test_an_ordered_one_goes_at_once_and_the_own_one_waits_and_starts_anew() -> None:
    lab = Lab(Audit(period=1000.0), count=2000)
    lab.run(100.0)
    lab.obey(lab.audit.handle(AuditOrdered("", CHUNK * 1000, repair=True, wall=5), now=lab.now))
    lab.run(60.0, until_ended=1)
    assert lab.ended[0].kind == ORDERED
    assert lab.ended[0].round.chunks == 2000
    assert 1.5 <= lab.ended[0].round.elapsed <= 2.5
    assert lab.audit.rounds[OWN].ended, "everything was proved: its own round has time"
    assert lab.audit.running == ""


def test_beside_transfers_an_eighth_is_left_and_never_nothing() -> None:
    def seconds(traffic: float) -> float:
        lab = Lab(Audit(period=None), count=400, traffic=traffic)
        lab.run(3.0)
        lab.obey(lab.audit.handle(AuditOrdered("", CHUNK * 40, repair=True, wall=5), now=lab.now))
        lab.run(1e5, until_ended=1)
        return lab.ended[0].round.elapsed

    quiet, busy = seconds(0.0), seconds(10e6)
    assert 0.8 * BUSY_SHARE <= busy / quiet <= 1.2 * BUSY_SHARE


def test_after_a_restart_it_goes_on_where_it_stopped() -> None:
    first = Lab(Audit(period=1000.0), count=2000)
    first.run(500.0)
    again = Lab(Audit(period=1000.0, rounds=first.audit.rounds), count=2000, now=7.0)
    again.run(600.0, until_ended=1)
    assert [n for _, n in first.proved + again.proved] == list(range(2000))
    assert again.now <= 500.0


def test_a_further_order_for_the_same_changes_its_pace_and_another_one_replaces_it() -> None:
    audit = Audit(period=None)
    audit.handle(AuditOrdered("", 1, repair=True, wall=5), now=0.0)
    audit.handle(AuditOrdered("", 2, repair=False, wall=6), now=0.0)
    assert (audit.rounds[ORDERED].began, audit.rounds[ORDERED].rate, audit.rounds[ORDERED].repair) == (5, 2, False)
    audit.handle(AuditOrdered("ab", 0, repair=True, wall=7), now=0.0)
    assert (audit.rounds[ORDERED].began, audit.rounds[ORDERED].package) == (7, "ab")


@settings(deadline=None)
@given(
    st.lists(
        st.one_of(
            st.floats(0.0, 50.0),
            st.sampled_from(("order", "package", "late", "twice")),
        ),
        max_size=30,
    )
)
def test_any_story_proves_one_portion_at_a_time_in_bounds_and_comes_to_an_end(story: list[float | str]) -> None:
    audit, now, waiting = Audit(period=100.0), 0.0, 0
    for step in story:
        commands: list[Command]
        match step:
            case float():
                now += step
                commands = audit.handle(Looked(10 * CHUNK, 0, wall=1), now=now)
            case "order" | "package":
                commands = audit.handle(AuditOrdered("" if step == "order" else "p", 0, repair=True, wall=1), now=now)
                waiting = waiting if audit._proving else 0
            case _:
                commands = audit.handle(PortionProved((1, 1), CHUNK, 1, 0, 0, wall=1), now=now)
                waiting = 0
        for command in commands:
            if isinstance(command, ProvePortion):
                waiting += 1
                assert SMALLEST <= command.most <= LARGEST
            if isinstance(command, LookAgain):
                assert command.seconds >= 0
        assert waiting <= 1
        assert sum(isinstance(command, LookAgain | ProvePortion) for command in commands) == 1, "it never falls asleep"
