"""The machine of a rollout: gates, breaker, and one end for every story."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tiercast_server.rollouts.life import (
    FINAL,
    WHOLE,
    CancelJobs,
    Command,
    Counted,
    Counts,
    End,
    Event,
    Refused,
    RolloutLife,
    Rules,
    Said,
    StartWave,
    WakeAt,
    enough,
)

FAR = 1_000_000


def life(**more: Any) -> RolloutLife:
    return RolloutLife(more.pop("rules", Rules()), more.pop("waves", 2), more.pop("expires", FAR), **more)


def counted(*waves: tuple[int, int, int, int]) -> Counted:
    return Counted(tuple(Counts(*wave) for wave in waves))


def test_the_first_wave_begins_at_once_and_the_next_when_enough_are_done() -> None:
    one = life(rules=Rules(go_on=50_000))
    assert one.handle(Counted(()), now=1) == [StartWave(0)]
    assert one.handle(counted((4, 1, 0, 3)), now=2) == [WakeAt(FAR)]
    assert one.handle(counted((4, 2, 0, 2)), now=3) == [StartWave(1)]
    assert one.handle(counted((4, 4, 0, 0), (4, 0, 0, 4)), now=4) == []
    assert one.handle(counted((4, 4, 0, 0), (4, 4, 0, 0)), now=5) == [End("done")]


def test_the_pause_begins_when_enough_are_done() -> None:
    one = life(rules=Rules(soak_ms=100))
    one.handle(Counted(()), now=1)
    assert one.handle(counted((1, 1, 0, 0)), now=50) == [WakeAt(150)]
    assert one.handle(counted((1, 1, 0, 0)), now=149) == [WakeAt(150)]
    assert one.handle(counted((1, 1, 0, 0)), now=150) == [StartWave(1)]


def test_by_hand_waits_for_a_word_and_a_word_opens_any_gate() -> None:
    one = life(rules=Rules(by_hand=True))
    one.handle(Counted(()), now=1)
    assert one.handle(counted((1, 1, 0, 0)), now=2) == [WakeAt(FAR)]
    assert one.handle(Said("next"), now=3) == [StartWave(1)]
    shut = life()
    shut.handle(Counted(()), now=1)
    shut.handle(counted((1, 0, 1, 0)), now=2)
    assert shut.handle(Said("next"), now=3) == [StartWave(1)]


def test_the_breaker_cancels_and_stops_when_all_have_ended() -> None:
    one = life(rules=Rules(go_on=0, stop_share=50_000))
    one.handle(Counted(()), now=1)
    assert one.handle(counted((4, 0, 2, 2)), now=2) == [CancelJobs()]
    assert one.handle(Said("next"), now=3) == []
    assert one.handle(counted((4, 1, 2, 1)), now=4) == []
    assert one.handle(counted((4, 2, 2, 0)), now=5) == [End("stopped")]
    by_number = life(rules=Rules(stop_number=3), begun=1)
    assert by_number.handle(counted((9, 0, 2, 7)), now=1) == [WakeAt(FAR)]
    assert by_number.handle(counted((9, 0, 3, 6)), now=1) == [CancelJobs()]


def test_the_breaker_looks_at_the_last_wave_too() -> None:
    one = life(waves=1, begun=1, rules=Rules(stop_number=1))
    assert one.handle(counted((1, 0, 1, 0)), now=1) == [CancelJobs()]
    assert one.handle(counted((1, 0, 1, 0)), now=1) == [End("stopped")]


def test_paused_nothing_begins_and_the_breaker_still_opens() -> None:
    one = life(rules=Rules(stop_number=1), begun=1)
    one.counts = (Counts(2, 0, 0, 2),)
    one.handle(Said("pause"), now=1)
    assert one.handle(counted((2, 2, 0, 0)), now=2) == [WakeAt(FAR)]
    assert one.handle(Said("next"), now=2) == [WakeAt(FAR)]
    assert one.handle(Said("resume"), now=3) == [StartWave(1)]
    other = life(rules=Rules(stop_number=1), begun=1, state="paused")
    assert other.handle(counted((2, 0, 1, 1)), now=2) == [CancelJobs()]


def test_a_wave_that_cannot_begin_pauses_it() -> None:
    one = life(rules=Rules(go_on=0))
    one.handle(Counted(()), now=1)
    assert one.handle(counted((1, 0, 0, 1)), now=1) == [StartWave(1)]
    assert one.handle(Refused(), now=1) == []
    assert (one.state, one.begun) == ("paused", 1)


def test_at_its_time_no_wave_begins_any_more() -> None:
    one = life(expires=10, begun=1)
    assert one.handle(counted((1, 1, 0, 0)), now=10) == [End("expired")]


@dataclass
class Story:
    """A rollout against a world that does what it is told, in any order."""

    rules: Rules
    sizes: list[int]
    life: RolloutLife
    begun: list[list[str]] = field(default_factory=list)
    ends: list[str] = field(default_factory=list)
    stopped: bool = False
    cancelled: bool = False
    word: bool = False
    reached: int | None = None

    def counts(self) -> tuple[Counts, ...]:
        return tuple(
            Counts(len(w), w.count("done"), w.count("failed"), sum(s in {"open", "sure"} for s in w))
            for w in self.begun
        )

    def tell(self, event: Event, now: int) -> None:
        if isinstance(event, Said):
            self.life.counts = self.counts()
            self.word |= event.word == "next" and self.life.state in {"running", "paused"}
            self.cancelled |= event.word == "cancel" and self.life.state in {"running", "paused"}
        self.look(now)
        queue: list[Command] = self.life.handle(event, now=now)
        while queue:
            command = queue.pop(0)
            self.look(now)
            match command:
                case StartWave(wave):
                    self.may_begin(wave, now)
                    self.begun.append(["open"] * self.sizes[wave])
                    self.word, self.reached = False, None
                    queue += self.life.handle(Counted(self.counts()), now=now)
                case CancelJobs():
                    self.stopped = True
                    self.begun = [["cancelled" if s == "open" else s for s in wave] for wave in self.begun]
                    queue += self.life.handle(Counted(self.counts()), now=now)
                case End(state):
                    self.ends.append(state)
                    assert not any(one.open for one in self.counts())
                case WakeAt(at):
                    assert at > now

    def look(self, now: int) -> None:
        counts = self.counts()
        if counts and self.reached is None and enough(counts[-1], self.rules):
            self.reached = now

    def may_begin(self, wave: int, now: int) -> None:
        assert wave == len(self.begun) < len(self.sizes), "each wave once, in order"
        assert (self.stopped, self.cancelled, self.ends) == (False, False, [])
        assert self.life.state == "running"
        bad, total = sum(c.bad for c in self.counts()), sum(c.total for c in self.counts())
        assert not (self.rules.stop_number and bad >= self.rules.stop_number)
        assert not (self.rules.stop_share and bad and bad * WHOLE >= self.rules.stop_share * total)
        if wave and not self.word:
            assert not self.rules.by_hand
            assert self.reached is not None
            assert now >= self.reached + self.rules.soak_ms


RULES = st.builds(
    Rules,
    go_on=st.sampled_from([0, 1, 50_000, 95_000, WHOLE]),
    soak_ms=st.sampled_from([0, 0, 7, 50]),
    by_hand=st.booleans(),
    stop_share=st.sampled_from([0, 0, 5_000, 50_000, WHOLE]),
    stop_number=st.sampled_from([0, 0, 1, 3]),
)
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["done", "failed", "sure", "next", "pause", "resume", "cancel", "clock", "again"]),
        st.integers(0, 30),
    ),
    max_size=60,
)


@given(RULES, st.lists(st.integers(1, 5), min_size=1, max_size=5), STEPS)
def test_any_story_has_one_end_and_no_wave_before_its_time(
    rules: Rules, sizes: list[int], steps: list[tuple[str, int]]
) -> None:
    now = 1
    story = Story(rules, sizes, RolloutLife(rules, len(sizes), expires=500))
    story.tell(Counted(()), now)
    for what, number in steps:
        now += number if what == "clock" else 0
        if what in {"next", "pause", "resume", "cancel"}:
            story.tell(Said(what), now)  # type: ignore[arg-type] - one of them
            continue
        places = [(w, n) for w, wave in enumerate(story.begun) for n, s in enumerate(wave) if s in {"open", "sure"}]
        if what in {"done", "failed", "sure"} and places:
            wave, at = places[number % len(places)]
            story.begun[wave][at] = what
        if what == "again":  # the server was killed: what it keeps is what stands in the row
            old = story.life
            story.life = RolloutLife(
                rules, len(sizes), 500, old.state, begun=old.begun, reached=old.reached, word=old.word
            )
        story.tell(Counted(story.counts()), now)
    now = 1_000  # its time comes, and every job's
    story.begun = [["expired" if s in {"open", "sure"} else s for s in wave] for wave in story.begun]
    for _ in range(3):
        story.tell(Counted(story.counts()), now)
    assert len(story.ends) == 1
    assert story.life.state in FINAL
    assert (story.life.state == "done") <= (len(story.begun) == len(sizes))
    for word in ("next", "resume", "cancel"):
        story.tell(Said(word), now)  # type: ignore[arg-type] - one of them
    assert len(story.ends) == 1, "nothing leads out of it"
