"""The parent's machine: any story keeps its rules, and the rules one by one."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import replace
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tiercast_protocol.transfer import events as e
from tiercast_protocol.transfer import groups
from tiercast_protocol.transfer.policy import JobPolicy, LinkPolicy, Pace
from tiercast_protocol.transfer.pump import MOST_UNPUBLISHED
from tiercast_protocol.transfer.sender import Sender
from tiercast_protocol.wire.messages import Piece, Report

WINDOW = 1 << 20
D = [bytes([n + 1]) * 32 for n in range(12)]
SIZES = {digest: 1000 + 7000 * n for n, digest in enumerate(D)}


def at(rate: float) -> LinkPolicy:
    return LinkPolicy(Pace(rate=rate))


def report(session: int, received: int = 0, *wants: bytes, window: int = WINDOW, **more: object) -> Report:
    return Report(session=session, received=received, window=window, wants=b"".join(wants), **more)  # type: ignore[arg-type]


def frames(commands: Sequence[e.SenderCommand]) -> list[e.PublishFrame]:
    return [command for command in commands if isinstance(command, e.PublishFrame)]


def of(kind: type, commands: Sequence[e.SenderCommand]) -> list[e.SenderCommand]:
    return [command for command in commands if isinstance(command, kind)]


class Story:
    """Tells a sender events and checks every command against its own account."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.now = 0.0
        self.sender = Sender()
        self.wanted: dict[str, set[bytes]] = {}
        self.sent: dict[str, dict[bytes, dict[int, int]]] = {}
        self.charged: dict[str, int] = {}
        self.session: dict[str, int] = {}
        self.received: dict[str, int] = {}
        self.looking: set[bytes] = set()
        self.looking_for: set[tuple[bytes, str]] = set()
        self.unpublished: dict[int, e.PublishFrame] = {}
        self.sessions = 0
        #: The child's count when it last asked for the chunk.
        self.asked: dict[tuple[str, bytes], int] = {}
        self.invited: set[tuple[str, int]] = set()
        self.ever_invited: set[tuple[str, int]] = set()
        self.joined: set[tuple[str, int]] = set()
        #: What must be silent: whole lanes, whole links, and jobs (on a lane, or everywhere).
        self.suspended: set[str] = set()
        self.links: dict[str, LinkPolicy] = {}
        self.jobs: dict[str, JobPolicy] = {}
        self.silent: set[tuple[str, str | None]] = set()
        self.spent: dict[tuple[str, str], int] = {}

    def tell(self, event: e.SenderEvent) -> None:
        commands = self.sender.handle(event, now=self.now)
        for command in commands:
            self._check(command)
        lanes = {lane.child: lane for lane in self.sender.lanes()}
        for frame in frames(commands):
            for child in frame.children:
                assert lanes[child].in_flight <= lanes[child].window
        assert len(self.unpublished) <= MOST_UNPUBLISHED

    def _check(self, command: e.SenderCommand) -> None:
        match command:
            case e.PublishFrame(number, group, children, pieces):
                assert number not in self.unpublished
                self.unpublished[number] = command
                assert children
                assert pieces
                jobs = [queue.job.name for queue in self.sender._pump._unpublished[number].queues]
                for child in children:
                    assert group is None or (child, group) in self.joined
                    self._sent(child, pieces)
                    self._terms(child, jobs[children.index(child)], pieces)
                    if group is not None:
                        assert all(self.policy(job).fanout != "unicast" for job in jobs)
            case e.PublishMark(child, session, _, charged):
                assert session == self.session[child]
                assert charged == self.charged[child]
            case e.FindChunks(digests, job):
                for digest in digests:
                    assert (digest, job) not in self.looking_for, "looked for twice for one job"
                    self.looking_for.add((digest, job))
                self.looking |= set(digests)
            case e.ForgetChunks(digests):
                assert set(digests) <= self.looking
                self.found(digests)
            case e.InviteToGroup(child, group):
                assert (child, group) not in self.invited
                self.invited.add((child, group))
                self.ever_invited.add((child, group))
            case e.DismissFromGroup(child, group):
                self.joined.discard((child, group))
                self.invited.discard((child, group))
            case e.TellAbsent(child, digests):
                self.wanted[child] -= set(digests)
            case e.WakeAt(time):
                assert time >= self.now

    def found(self, digests: Iterable[bytes]) -> None:
        """These are looked for no more."""
        self.looking.difference_update(digests)
        self.looking_for = {pair for pair in self.looking_for if pair[0] in self.looking}

    def _sent(self, child: str, pieces: tuple[Piece, ...]) -> None:
        self.charged[child] += sum(piece.length for piece in pieces)
        for piece in pieces:
            assert piece.digest in self.wanted[child], "sent what was not wanted"
            assert piece.size == SIZES[piece.digest]
            assert 0 <= piece.offset < piece.offset + piece.length <= piece.size
            here = self.sent[child].setdefault(piece.digest, {})
            # Every 500th byte stands for its neighbours.
            for at in range(-(-piece.offset // 500) * 500, piece.offset + piece.length, 500):
                assert here.get(at, -1) <= self.asked.get((child, piece.digest), -1), "sent twice"
                here[at] = self.charged[child]

    def policy(self, job: str) -> JobPolicy:
        return self.jobs.get(job, JobPolicy())

    def _terms(self, child: str, job: str, pieces: tuple[Piece, ...]) -> None:
        policy = self.policy(job)
        assert (job, None) not in self.silent
        assert (job, child) not in self.silent
        assert child not in self.suspended or policy.pass_suspended
        for link in ("", child):
            terms = self.links.get(link, LinkPolicy())
            assert terms.pace.rate != 0.0, "through a shut window"
            assert not terms.metered or policy.metered
        if policy.pace.budget is not None:
            spent = self.spent[child, job] = self.spent.get((child, job), 0) + sum(piece.length for piece in pieces)
            assert spent <= 30_000

    def change(self) -> None:
        """Say something of a job or a link."""
        rng = self.rng
        job, child = rng.choice(["one", "two", ""]), rng.choice(["a", "b", "c"])
        match rng.randrange(7):
            case 0 | 1:
                pace = rng.choice(
                    [Pace(), Pace(rate=1e5), Pace(segment=4096, pause=1.0), Pace(frames=2, frame_pause=0.5)]
                )
                budget = rng.random() < 0.3
                policy = JobPolicy(
                    pace,
                    priority=rng.choice([1, 5, 9]),
                    fanout=rng.choice(["auto", "multicast", "unicast"]),
                    pass_suspended=rng.random() < 0.3,
                    metered=rng.random() < 0.3,
                )
                self.jobs[job] = policy
                self.tell(e.JobPolicySet(job, policy))
                if budget:
                    # It was taken back before, so it begins anew.
                    self.spent = {key: spent for key, spent in self.spent.items() if key[1] != job}
                    self.jobs[job] = replace(policy, pace=replace(pace, budget=30_000))
                    self.tell(e.JobPolicySet(job, self.jobs[job]))
            case 2 | 3:
                which = rng.choice(["", child])
                terms = LinkPolicy(
                    rng.choice(
                        [Pace(), Pace(rate=0.0), Pace(rate=1e5), Pace(segment=8192, pause=2.0), Pace(floor=5e4)]
                    ),
                    metered=rng.random() < 0.2,
                    adaptive=rng.random() < 0.2,
                )
                self.links[which] = terms
                self.tell(e.LinkPolicySet(which, terms))
            case 4:
                where = rng.choice([None, child])
                self.silent.add((job, where))
                self.tell(e.JobSuspended(job, where))
            case 5:
                for name, where in sorted(self.silent, key=str):
                    self.silent.discard((name, where))
                    self.tell(e.JobResumed(name, where))
            case _:
                if child in self.suspended:
                    self.suspended.discard(child)
                    self.tell(e.LaneResumed(child))
                else:
                    self.suspended.add(child)
                    self.tell(e.LaneSuspended(child))

    def unsent(self, frame: e.PublishFrame) -> None:
        """The frame did not leave: its bytes may go again."""
        for piece in frame.pieces:
            for child in frame.children:
                here = self.sent[child].get(piece.digest, {})
                for at in [at for at in here if piece.offset <= at < piece.offset + piece.length]:
                    del here[at]

    def report(self, child: str) -> None:
        rng = self.rng
        if child not in self.session or rng.random() < 0.05:
            self.sessions += 1
            self.session[child] = self.sessions
            self.wanted[child], self.sent[child] = set(), {}
            self.received[child] = self.charged[child] = rng.choice([0, 5000])
            self.asked = {key: at for key, at in self.asked.items() if key[0] != child}
        received = rng.randint(self.received[child], self.charged[child])
        self.received[child] = received
        wants = rng.sample(D, rng.randint(0, 6))
        drops = [digest for digest in rng.sample(D, rng.choice([0, 0, 2])) if digest not in wants]
        self.wanted[child] = self.wanted[child] - set(drops) | set(wants)
        for digest in wants:
            self.asked[child, digest] = received
        self.tell(
            e.ReportReceived(
                child,
                report(
                    self.session[child],
                    received,
                    *wants,
                    window=rng.choice([0, 20_000, WINDOW]),
                    drops=b"".join(drops),
                    jobs=[("one", rng.randint(0, 3)), ("two", rng.randint(0, 3))],
                    segment=rng.choice([0, 0, 10_000]),
                    pause_ms=rng.choice([0, 1500]),
                ),
            )
        )


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 1 << 32))
def test_any_story_keeps_the_invariants(seed: int) -> None:
    # Groups are worth it for less here, so that stories have some.
    with patch.object(groups, "WORTH", 1000):
        _tell(Story(random.Random(seed)))


def _tell(story: Story) -> None:
    rng = story.rng
    children = ["a", "b", "c"]
    for _ in range(80):
        story.now += rng.random() * rng.choice([0.001, 0.05, 3])
        child = rng.choice(children)
        match rng.randrange(12):
            case 0 | 1 | 2:
                story.report(child)
            case 3 | 4 | 5 if story.looking:
                digest = rng.choice(sorted(story.looking))
                story.found([digest])
                if rng.random() < 0.9:
                    story.tell(e.ChunkAvailable(digest, SIZES[digest]))
                else:
                    story.tell(e.ChunkUnavailable(digest, "unknown"))
            case 6 | 7 if story.unpublished:
                number = rng.choice(sorted(story.unpublished))
                frame = story.unpublished.pop(number)
                if rng.random() < 0.9:
                    story.tell(e.FramePublished(number))
                else:
                    story.unsent(frame)
                    story.tell(e.FrameFailed(number))
            case 8 | 9:
                story.change()
            case 10 if story.ever_invited:
                # Late answers and answers given twice come too.
                who, group = rng.choice(sorted(story.ever_invited))
                if (who, group) in story.invited:
                    story.joined.add((who, group))
                story.tell(e.ChildJoinedGroup(who, group))
            case _:
                story.tell(e.TimerFired())
    for child in children:
        story.tell(e.ChildLost(child))
    assert len(story.sender.supply) == 0
    assert story.sender.lanes() == []
    assert not story.looking or all(d not in story.sender.supply._chunks for d in story.looking)


def one_child(*digests: bytes, window: int = WINDOW) -> tuple[Sender, list[e.SenderCommand]]:
    sender = Sender()
    out = sender.handle(e.ReportReceived("a", report(1, 0, *digests, window=window)), now=0.0)
    for digest in digests:
        out += sender.handle(e.ChunkAvailable(digest, SIZES[digest]), now=0.0)
    return sender, out


def test_a_want_is_found_and_sent_once() -> None:
    sender, out = one_child(D[0])
    assert of(e.FindChunks, out) == [e.FindChunks((D[0],))]
    assert [frame.pieces for frame in frames(out)] == [(Piece(D[0], 1000, 0, 1000),)]
    assert frames(sender.handle(e.ReportReceived("a", report(1, 0, D[0])), now=0.01)) == []
    assert len(sender.supply) == 0


def test_what_comes_together_shares_a_frame() -> None:
    sender = Sender()
    sender.handle(e.ReportReceived("a", report(1, 0, D[0], D[1], window=WINDOW)), now=0.0)
    out = sender.handle_all([e.ChunkAvailable(digest, SIZES[digest]) for digest in (D[0], D[1])], now=0.0)
    assert [[piece.digest for piece in frame.pieces] for frame in frames(out)] == [[D[0], D[1]]]


def test_a_chunk_that_was_settled_and_is_wanted_again_was_lost() -> None:
    sender, _ = one_child(D[0])
    out = sender.handle(e.ReportReceived("a", report(1, 1000, D[0])), now=0.1)
    assert of(e.FindChunks, out)
    assert frames(sender.handle(e.ChunkAvailable(D[0], 1000), now=0.1))
    assert sender.lanes()[0].sent.lost == 1000


def test_only_the_ranges_to_repair_are_sent_again() -> None:
    sender, _ = one_child(D[1])
    ask = report(1, SIZES[D[1]], repairs=[(D[1], 100, 50), (D[1], 120, 100), (D[1], 7990, 10_000)])
    sender.handle(e.ReportReceived("a", ask), now=0.1)
    (frame,) = frames(sender.handle(e.ChunkAvailable(D[1], 8000), now=0.1))
    assert [(piece.offset, piece.length) for piece in frame.pieces] == [(100, 120), (7990, 10)]


def test_credit_and_unpublished_frames_bound_what_leaves() -> None:
    sender, out = one_child(*D[:6], window=10_000)
    assert sum(piece.length for frame in frames(out) for piece in frame.pieces) <= 10_000
    assert frames(sender.handle(e.FramePublished(1), now=0.0)) == []
    sender, out = one_child(*D)
    assert len(frames(out)) == MOST_UNPUBLISHED
    assert len(frames(sender.handle(e.FramePublished(1), now=0.0))) == 1


def test_a_rate_paces_and_cuts_small_frames() -> None:
    sender = Sender()
    sender.handle(e.LinkPolicySet("a", at(100_000.0)), now=0.0)
    sender.handle(e.ReportReceived("a", report(1, 0, *D)), now=0.0)
    out: list[e.SenderCommand] = []
    for digest in D:
        out += sender.handle(e.ChunkAvailable(digest, SIZES[digest]), now=0.0)
    assert all(sum(piece.length for piece in frame.pieces) <= 5000 for frame in frames(out))
    (wake,) = of(e.WakeAt, out)[-1:]
    assert isinstance(wake, e.WakeAt)
    assert frames(sender.handle(e.TimerFired(), now=wake.time))


def test_suspended_is_silent_and_resumed_goes_on() -> None:
    sender = Sender()
    sender.handle(e.LaneSuspended("a"), now=0.0)
    sender.handle(e.ReportReceived("a", report(1, 0, D[0])), now=0.0)
    assert frames(sender.handle(e.ChunkAvailable(D[0], 1000), now=0.0)) == []
    assert len(frames(sender.handle(e.LaneResumed("a"), now=1.0))) == 1


def test_absent_is_told_to_all_who_want_it() -> None:
    sender = Sender()
    for child in ("a", "b"):
        sender.handle(e.ReportReceived(child, report(1, 0, D[0])), now=0.0)
    out = sender.handle(e.ChunkUnavailable(D[0], "unknown"), now=0.0)
    assert out[:2] == [e.TellAbsent("a", (D[0],), "unknown"), e.TellAbsent("b", (D[0],), "unknown")]
    assert sender.handle(e.ChunkUnavailable(D[0], "unknown"), now=0.0) == []


def test_what_nobody_wants_any_more_is_forgotten() -> None:
    sender = Sender()
    sender.handle(e.ReportReceived("a", report(1, 0, D[0])), now=0.0)
    out = sender.handle(e.ReportReceived("a", report(1, 0, drops=D[0])), now=0.0)
    assert of(e.ForgetChunks, out) == [e.ForgetChunks((D[0],))]
    assert sender.handle(e.ChunkAvailable(D[0], 1000), now=0.0) == []


def test_a_restarted_child_starts_anew_and_its_old_reports_are_ignored() -> None:
    sender, _ = one_child(D[0])
    sender.handle(e.ReportReceived("a", report(2, 0, D[0])), now=0.1)
    assert len(frames(sender.handle(e.ChunkAvailable(D[0], 1000), now=0.1))) == 1
    sender.handle(e.ReportReceived("a", report(1, 1000, D[0])), now=0.2)
    assert [(lane.received, lane.wanted) for lane in sender.lanes()] == [(0, 0)]


def test_a_restarted_parent_goes_on_where_the_child_is() -> None:
    sender = Sender()
    sender.handle(e.ReportReceived("a", report(1, 777_000, D[0], mark=5)), now=0.0)
    sender.handle(e.ChunkAvailable(D[0], 1000), now=0.0)
    assert sender.lanes()[0].charged == 778_000
    marks = of(e.PublishMark, sender.handle(e.TimerFired(), now=5.0))
    assert marks == [e.PublishMark("a", 1, 6, 778_000)]


def test_a_failed_frame_is_found_and_sent_again() -> None:
    sender, out = one_child(D[0])
    out = sender.handle(e.FrameFailed(frames(out)[0].frame), now=0.1)
    assert of(e.FindChunks, out)
    assert of(e.PublishMark, out), "its charge is settled at once"
    assert len(frames(sender.handle(e.ChunkAvailable(D[0], 1000), now=0.1))) == 1
    assert sender.lanes()[0].sent.failed == 2000


def test_failures_in_a_row_make_a_pause() -> None:
    sender, out = one_child(D[0])
    for now in (0.1, 0.2):
        sender.handle(e.FrameFailed(frames(out)[0].frame), now=now)
        out = sender.handle(e.ChunkAvailable(D[0], 1000), now=now)
    assert frames(out) == []
    assert len(frames(sender.handle(e.TimerFired(), now=0.41))) == 1


def test_no_progress_parks_and_a_report_brings_back() -> None:
    sender, _ = one_child(*D[:2], window=1000)
    now, out = 0.0, list[e.SenderCommand]()
    while not of(e.LaneChanged, out) and now < 30:
        now += 0.25
        out += sender.handle(e.TimerFired(), now=now)
    assert 10 <= now < 12
    assert 2 < len(of(e.PublishMark, out)) < 10
    out = sender.handle(e.ReportReceived("a", report(1, 0)), now=now + 1)
    assert e.LaneChanged("a", "active", "heard again") in out
    assert of(e.PublishMark, out)


@pytest.mark.parametrize(
    "bad",
    [report(-1), report(1 << 64), report(1, -1), report(1, 1 << 63), report(1, mark=1 << 31), report(1, window=-5)],
)
def test_numbers_that_can_not_be_meant_are_ignored(bad: Report) -> None:
    sender = Sender()
    assert sender.handle(e.ReportReceived("a", bad), now=0.0) == []
    assert sender.lanes() == []


def test_a_chunk_has_a_size() -> None:
    with pytest.raises(ValueError, match="stored chunk"):
        Sender().handle(e.ChunkAvailable(D[0], 0), now=0.0)
