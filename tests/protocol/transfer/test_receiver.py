"""The child's machine: any story keeps its rules, and the rules one by one."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tiercast_protocol.transfer import events as e
from tiercast_protocol.transfer.policy import JobPolicy
from tiercast_protocol.transfer.receiver import MOST_ATTEMPTS, QUIET_FIRST, QUIET_LONGEST, Receiver
from tiercast_protocol.transfer.saying import REPORT_PAUSE
from tiercast_protocol.wire.messages import Piece, Report

WINDOW = 4000
SIZE = 100
D = [bytes([n]) * 32 for n in range(8)]


def reports(commands: list[e.ReceiverCommand]) -> list[Report]:
    return [command.report for command in commands if isinstance(command, e.SendReport)]


def wants(commands: list[e.ReceiverCommand]) -> list[bytes]:
    run = b"".join(report.wants for report in reports(commands))
    return [run[at : at + 32] for at in range(0, len(run), 32)]


def kinds(commands: list[e.ReceiverCommand]) -> list[str]:
    return [type(command).__name__ for command in commands if not isinstance(command, (e.WakeAt, e.SendReport))]


def connected(**settings: int) -> Receiver:
    receiver = Receiver(7, WINDOW, **settings)
    receiver.handle(e.ParentConnected(), now=0.0)
    return receiver


def whole(digest: bytes, size: int = SIZE) -> e.FrameReceived:
    return e.FrameReceived((Piece(digest, size, 0, size),))


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 1 << 32))
def test_any_story_keeps_the_invariants(seed: int) -> None:
    rng = random.Random(seed)
    receiver = Receiver(7, WINDOW, memory=350, most_asked=5)
    now, received = 0.0, 0
    wanted: set[bytes] = set()
    buffers: dict[bytes, set[int]] = {}
    storing: set[bytes] = set()
    up = False
    armed: float | None = None

    def tell(event: e.ReceiverEvent) -> None:
        nonlocal armed
        for command in receiver.handle(event, now=now):
            match command:
                case e.SendReport(report):
                    assert up, "spoke while cut off"
                    assert sum(count for _, count in report.jobs) <= len(report.wants) // 32 + len(report.repairs)
                    assert report.session == 7
                    assert report.received == receiver.received
                    assert 0 <= report.window <= WINDOW
                    assert len(report.wants) % 32 == len(report.drops) % 32 == 0
                    for digest, offset, length in report.repairs:
                        assert not buffers[digest] & set(range(offset, offset + length))
                case e.KeepPiece(piece):
                    assert piece in event.pieces  # type: ignore[union-attr]
                    assert piece.digest in wanted
                    assert piece.digest not in storing
                    here = buffers.setdefault(piece.digest, set())
                    span = set(range(piece.offset, piece.offset + piece.length))
                    assert not here & span, "kept a byte twice"
                    here |= span
                case e.StoreChunks(pieces):
                    for piece in pieces:
                        assert piece in event.pieces  # type: ignore[union-attr]
                        assert piece.length == piece.size
                        assert piece.digest in wanted
                        assert piece.digest not in storing
                        assert piece.digest not in buffers
                        storing.add(piece.digest)
                case e.AssembleChunk(digest):
                    assert digest not in storing
                    del buffers[digest]
                    storing.add(digest)
                case e.DiscardChunk(digest):
                    del buffers[digest]
                case e.ReportAbsent(digest):
                    wanted.discard(digest)
                    assert digest not in buffers
                case e.WakeAt(time):
                    assert time >= now
                    armed = time
        counts = receiver.counters
        came = counts.useful + counts.repeated + counts.unasked + counts.refused
        assert came + counts.lost - counts.surplus == receiver.received, "every byte of the count has its reason"

    for _ in range(60):
        now += rng.random() * rng.choice([0.01, 0.1, 4])
        digest = rng.choice(D)
        match rng.randrange(12):
            case 0:
                digests = tuple(rng.sample(D, 3))
                wanted |= set(digests)
                tell(e.ChunksWanted(digests, rng.choice(["", "low", "high"])))
            case 1:
                wanted.discard(digest)
                tell(e.ChunksUnwanted((digest,)))
                assert digest not in buffers
            case 2 | 3 | 4:
                size = rng.choice([SIZE, SIZE, SIZE, 60])
                offset = rng.randrange(size)
                frame = (
                    Piece(digest, size, offset, rng.randint(1, size - offset)),
                    Piece(rng.choice(D), SIZE, 0, SIZE),
                )
                received = receiver.received
                tell(e.FrameReceived(frame))
                assert receiver.received == received + sum(piece.length for piece in frame)
            case 5:
                tell(e.MarkReceived(rng.choice([7, 7, 8]), rng.randrange(5), rng.randrange(5000)))
            case 6 if storing:
                done = rng.choice(sorted(storing))
                storing.discard(done)
                if rng.random() < 0.5:
                    wanted.discard(done)
                    tell(e.ChunksStored((done,)))
                else:
                    tell(e.ChunkRejected(done, "digest"))
            case 7:
                up = not up
                tell(e.ParentConnected() if up else e.ParentLost())
            case 8:
                tell(e.AbsentReceived((digest,), "unknown"))
            case 9:
                tell(e.JobPolicySet(rng.choice(["low", "high"]), rng.choice([None, JobPolicy(priority=9)])))
            case 10:
                tell(e.ChildTermsSet(rng.choice([0, 1024]), 1.0, rng.choice([0, 5000])))
            case _:
                tell(e.TimerFired())
        assert len(receiver._asked) <= 5 + len(D)
        assert not set(receiver._asked) & set(receiver._waiting)
        assert receiver._assembly.held <= 350 + SIZE
    tell(e.ChunksUnwanted(tuple(D)))
    for digest in sorted(storing):
        tell(e.ChunksStored((digest,)))
    assert receiver.idle()
    assert not buffers
    assert not receiver._attempts
    if not up:
        up = True
        tell(e.ParentConnected())
    now += 1
    tell(e.TimerFired())
    assert not receiver._to_drop


def test_nothing_is_said_before_the_parent_is_there() -> None:
    receiver = Receiver(7, WINDOW)
    assert receiver.handle(e.ChunksWanted((D[0], D[1], D[0])), now=0.0) == []
    assert wants(receiver.handle(e.ParentConnected(), now=0.0)) == [D[0], D[1]]


def test_wants_go_at_once_and_only_so_many() -> None:
    receiver = connected(most_asked=4)
    assert wants(receiver.handle(e.ChunksWanted(tuple(D)), now=0.0)) == D[:4]
    assert wants(receiver.handle(whole(D[0]), now=0.1)) == D[4:5]


def test_many_wants_are_cut_into_reports() -> None:
    receiver = connected()
    many = tuple(n.to_bytes(32) for n in range(3000))
    said = reports(receiver.handle(e.ChunksWanted(many), now=0.0))
    assert [len(report.wants) // 32 for report in said] == [1024, 1024, 952]


def test_the_window_shuts_until_the_chunk_is_stored() -> None:
    receiver = connected()
    receiver.handle(e.ChunksWanted((D[0],)), now=0.0)
    assert kinds(receiver.handle(whole(D[0]), now=0.1)) == ["StoreChunks"]
    assert (receiver.received, receiver.window) == (SIZE, WINDOW - SIZE)
    (said,) = reports(receiver.handle(e.ChunksStored((D[0],)), now=0.2))
    assert (said.received, said.window) == (SIZE, WINDOW)


def test_progress_is_told_by_size_or_age() -> None:
    receiver = connected()
    receiver.handle(e.ChunksWanted((D[0], D[1])), now=0.0)
    assert reports(receiver.handle(e.FrameReceived((Piece(D[0], 3000, 0, 1000),)), now=0.001))
    quiet = receiver.handle(e.FrameReceived((Piece(D[0], 3000, 1000, 10),)), now=0.002)
    assert reports(quiet) == []
    (wake,) = [command for command in quiet if isinstance(command, e.WakeAt)]
    assert wake.time == pytest.approx(0.002 + REPORT_PAUSE)
    assert reports(receiver.handle(e.TimerFired(), now=wake.time))


def test_a_mark_is_answered_with_all_that_is_missing() -> None:
    receiver = connected()
    receiver.handle(e.ChunksWanted((D[0], D[1])), now=0.0)
    receiver.handle(e.FrameReceived((Piece(D[0], SIZE, 10, 20),)), now=0.1)
    (said,) = reports(receiver.handle(e.MarkReceived(7, 3, 500), now=0.2))
    assert (said.mark, said.received, said.wants) == (3, 500, D[1])
    assert said.repairs == [(D[0], 0, 10), (D[0], 30, 70)]
    assert receiver.handle(e.MarkReceived(8, 4, 900), now=0.3) == []


def test_silence_makes_it_ask_again_ever_more_rarely() -> None:
    receiver = connected()
    receiver.handle(e.ChunksWanted((D[0],)), now=0.0)
    now, pauses = 0.0, []
    for _ in range(7):
        before = now
        now += QUIET_FIRST
        while not wants(receiver.handle(e.TimerFired(), now=now)):
            now += 0.5
        pauses.append(now - before)
    assert pauses[0] == pytest.approx(QUIET_FIRST)
    assert pauses == sorted(pauses)
    assert pauses[-1] <= QUIET_LONGEST + 1


def test_a_damaged_chunk_is_asked_for_again_but_not_for_ever() -> None:
    receiver = connected()
    receiver.handle(e.ChunksWanted((D[0],)), now=0.0)
    for attempt in range(1, MOST_ATTEMPTS + 1):
        receiver.handle(whole(D[0]), now=float(attempt))
        after = receiver.handle(e.ChunkRejected(D[0], "digest"), now=attempt + 0.1)
        if attempt < MOST_ATTEMPTS:
            assert wants(after) == [D[0]]
        else:
            assert e.ReportAbsent(D[0], "corrupt") in after
    assert receiver.idle()


def test_what_is_late_or_unasked_changes_nothing_but_the_count() -> None:
    receiver = connected()
    assert kinds(receiver.handle(whole(D[0]), now=0.1)) == []
    for event in (e.ChunksStored((D[0],)), e.ChunkRejected(D[0], "x"), e.AbsentReceived((D[0],), "x")):
        assert kinds(receiver.handle(event, now=0.2)) == []
    assert (receiver.received, receiver.counters.unasked) == (SIZE, SIZE)


def test_another_size_starts_the_chunk_anew() -> None:
    receiver = connected()
    receiver.handle(e.ChunksWanted((D[0],)), now=0.0)
    receiver.handle(e.FrameReceived((Piece(D[0], SIZE, 0, 50),)), now=0.1)
    after = receiver.handle(e.FrameReceived((Piece(D[0], 60, 0, 60),)), now=0.2)
    assert kinds(after) == ["DiscardChunk", "KeepPiece", "AssembleChunk"]


def test_no_longer_wanted() -> None:
    receiver = connected()
    receiver.handle(e.ChunksWanted((D[0], D[1])), now=0.0)
    receiver.handle(e.FrameReceived((Piece(D[0], SIZE, 0, 50),)), now=0.1)
    after = receiver.handle(e.ChunksUnwanted((D[0],)), now=0.2)
    assert kinds(after) == ["DiscardChunk"]
    assert reports(after)[0].drops == D[0]
    receiver.handle(whole(D[1]), now=0.3)
    receiver.handle(e.ChunksUnwanted((D[1],)), now=0.4)
    assert wants(receiver.handle(e.ChunkRejected(D[1], "digest"), now=0.5)) == []
    assert receiver.idle()


def test_a_new_connection_says_everything_again() -> None:
    receiver = connected()
    receiver.handle(e.ChunksWanted((D[0], D[1])), now=0.0)
    receiver.handle(e.FrameReceived((Piece(D[0], SIZE, 0, 50),)), now=0.1)
    assert receiver.handle(e.ParentLost(), now=0.2) == []
    assert receiver.handle(e.ChunksWanted((D[2],)), now=0.3) == []
    after = receiver.handle(e.ParentConnected(), now=0.4)
    assert wants(after) == [D[1], D[2]]
    assert reports(after)[0].repairs == [(D[0], 50, 50)]


def test_a_size_that_changed_and_has_no_room_is_thrown_away_by_the_adapter_too() -> None:
    receiver = connected(memory=200)
    receiver.handle(e.ChunksWanted((D[0], D[1])), now=0.0)
    for digest, size in ((D[0], 100), (D[1], 100)):
        receiver.handle(e.FrameReceived((Piece(digest, size, 0, 1),)), now=0.1)
    commands = receiver.handle(e.FrameReceived((Piece(D[0], 150, 0, 1),)), now=0.2)
    assert kinds(commands) == ["DiscardChunk"]
    assert "StoreChunks" in kinds(receiver.handle(whole(D[0]), now=0.3))


@pytest.mark.parametrize(("mark", "charged"), [((1 << 32) - 1, 0), (1, (1 << 64) - 1), (1, 1 << 62)])
def test_a_mark_beyond_all_counts_is_not_believed(mark: int, charged: int) -> None:
    receiver = connected()
    receiver.handle(e.ChunksWanted((D[0],)), now=0.0)
    assert not receiver.handle(e.MarkReceived(7, mark, charged), now=0.1)
    assert receiver.received == 0
    assert [r.mark for r in reports(receiver.handle(e.MarkReceived(7, 1, 50), now=0.2))] == [1]


def test_wants_and_repairs_say_for_which_job() -> None:
    receiver = connected()
    receiver.handle(e.JobPolicySet("urgent", JobPolicy(priority=9)), now=0.0)
    (one,) = reports(receiver.handle(e.ChunksWanted((D[0], D[1]), "update"), now=0.0))
    assert one.jobs == [("update", 2)]
    (other,) = reports(receiver.handle(e.ChunksWanted((D[1],), "other"), now=0.0))
    assert other.jobs == [("update", 1), ("other", 1)], "for both: which may go is known up there"
    assert reports(receiver.handle(e.ChunksWanted((D[1],), "other"), now=0.0)) == []
    (again,) = reports(receiver.handle(e.ChunksWanted((D[1], D[2]), "urgent"), now=0.0))
    assert wants([e.SendReport(again)]) == [D[1], D[2], D[1], D[1]]
    assert again.jobs == [("urgent", 2), ("other", 1), ("update", 1)]
    receiver.handle(e.FrameReceived((Piece(D[1], SIZE, 0, 10),)), now=0.1)
    said = reports(receiver.handle(e.MarkReceived(7, 1, 10), now=0.2))[-1]
    assert said.jobs == [("update", 1), ("urgent", 2), ("other", 1), ("update", 1)], "wants, then the repair"
    assert [hole[0] for hole in said.repairs] == [D[1]] * 3


def test_of_what_is_begun_the_holes_are_said_for_the_further_job() -> None:
    receiver = connected()
    receiver.handle(e.ChunksWanted((D[0], D[1]), "update"), now=0.0)
    receiver.handle(e.FrameReceived((Piece(D[0], SIZE, 0, 10),)), now=0.1)
    (said,) = reports(receiver.handle(e.ChunksWanted((D[0],), "other"), now=0.1))
    assert said.wants == b"", "what is here already does not come again"
    assert said.repairs == [(D[0], 10, SIZE - 10)] * 2
    assert said.jobs == [("update", 1), ("other", 1)]


def test_the_childs_terms_are_said_at_once_and_ever_after() -> None:
    receiver = connected()
    (first,) = reports(receiver.handle(e.ChildTermsSet(segment=1 << 20, pause=2.5, rate=9000), now=0.0))
    assert (first.segment, first.pause_ms, first.rate) == (1 << 20, 2500, 9000)
    assert receiver.handle(e.ChildTermsSet(segment=1 << 20, pause=2.5, rate=9000), now=0.1) == []
    (later,) = reports(receiver.handle(e.ChunksWanted((D[0],)), now=0.2))
    assert (later.segment, later.pause_ms, later.rate) == (1 << 20, 2500, 9000)


def test_drops_are_said_again_while_what_was_dropped_still_comes() -> None:
    receiver = connected()
    receiver.handle(e.ChunksWanted(tuple(D[:4])), now=0.0)
    (said,) = reports(receiver.handle(e.ChunksUnwanted((D[0], D[1], D[2])), now=0.0))
    assert said.drops == D[0] + D[1] + D[2]
    assert not any(one.drops for one in reports(receiver.handle(whole(D[0]), now=0.1))), "it may be under way"
    receiver.handle(e.ChunksWanted((D[2],)), now=0.2)
    again = reports(receiver.handle(whole(D[0]), now=1.0))
    assert [one.drops for one in again] == [D[0] + D[1]]
    assert not any(one.drops for one in reports(receiver.handle(whole(D[1]), now=1.1)))
