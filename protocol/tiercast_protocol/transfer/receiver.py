"""The child's side of one hop: what it wants, what came, what it reports (docs/protocol.md, section 6).

Rules
- A chunk is in one place: waiting (not asked yet), asked (perhaps partly here), or whole (being stored).  Only
  so many are asked at once (`wants`); the rest waits here, so neither side holds an unbounded list.
- Every frame counts as received, repeated and unasked bytes too: the sender charged them.
- The receiver owns the truth.  A mark, a new connection or a long silence makes it say everything that is
  missing: whole chunks as wants, holes as repairs.  The sender knows which of these are still under way.
- What is kept is new; what is whole is verified by the adapter; what is damaged is asked for again, a few times.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tiercast_protocol.transfer.assembly import Assembly, Fit, Repair
from tiercast_protocol.transfer.counters import ReceiverCounters
from tiercast_protocol.transfer.credit import LARGEST_COUNT, LARGEST_MARK, Grant
from tiercast_protocol.transfer.events import (
    AbsentReceived,
    AssembleChunk,
    ChildTermsSet,
    ChunkRejected,
    ChunksStored,
    ChunksUnwanted,
    ChunksWanted,
    Digest,
    DiscardChunk,
    FrameReceived,
    Job,
    JobPolicySet,
    KeepPiece,
    MarkReceived,
    ParentConnected,
    ParentLost,
    ReceiverCommand,
    ReceiverEvent,
    ReportAbsent,
    SendReport,
    StoreChunks,
    TimerFired,
    WakeAt,
)
from tiercast_protocol.transfer.saying import progress_due, wants_due
from tiercast_protocol.transfer.wants import MOST_ASKED, Wants
from tiercast_protocol.wire.messages import Piece, Report

#: Most digests and most repairs of one report: 32 KiB, inside every broker's limit.
REPORT_WANTS = 1024
REPORT_REPAIRS = 512
NEVER = float("inf")
#: Silence after which everything asked is asked again, in seconds, doubling up to the longest.
QUIET_FIRST = 3.0
QUIET_LONGEST = 30.0
#: Seconds after which drops are said again while what was dropped still comes, and how many are remembered for that.
DROP_AGAIN = 0.5
MOST_DROPPED = 8192
#: How often a chunk may arrive damaged before it counts as absent.
MOST_ATTEMPTS = 5


@dataclass(slots=True)
class _Whole:
    """A chunk that the adapter verifies and stores."""

    size: int
    job: Job
    wanted: bool = True


class Receiver:
    """One child's machine towards its parent.

    Args:
        session: random, new at each start of the child.
        window: bytes that the parent may have under way.
        memory: most bytes of chunks in progress; three windows when None.
    """

    def __init__(self, session: int, window: int, *, memory: int | None = None, most_asked: int = MOST_ASKED) -> None:
        self.session = session
        self.counters = ReceiverCounters()
        self._grant = Grant(window)
        self._assembly = Assembly(memory if memory is not None else 3 * window)
        self._wants = Wants(most_asked)
        self._waiting = self._wants.waiting
        self._asked = self._wants.asked
        self._whole: dict[Digest, _Whole] = {}
        self._attempts: dict[Digest, int] = {}
        self._terms = ChildTermsSet()
        self._unsaid_terms = False
        self._to_say: list[Digest] = []
        #: Begun chunks that a further job wants: their holes are said for it.
        self._begun: set[Digest] = set()
        self._to_drop: list[Digest] = []
        #: What was dropped and not wanted again, and when that was said last: the word may be lost.
        self._dropped: dict[Digest, None] = {}
        self._dropped_at = float("-inf")
        self._mark = 0
        self._connected = False
        self._told_at = float("-inf")
        self._heard_at = float("-inf")
        self._flush_at: float | None = None
        self._quiet = QUIET_FIRST
        self._armed: float | None = None
        self._handlers: dict[type, Callable[[Any, float, list[ReceiverCommand]], None]] = {
            ChunksWanted: self._wanted,
            ChunksUnwanted: self._unwanted,
            JobPolicySet: self._job_policy_set,
            ChildTermsSet: self._terms_set,
            FrameReceived: self._frame,
            MarkReceived: self._marked,
            AbsentReceived: self._absent,
            ChunksStored: self._stored,
            ChunkRejected: self._rejected,
            ParentConnected: self._parent_connected,
            ParentLost: self._parent_lost,
            TimerFired: self._timer,
        }

    @property
    def outstanding(self) -> int:
        """Chunks wanted and not yet whole."""
        return len(self._asked) + len(self._waiting)

    @property
    def received(self) -> int:
        """Payload bytes counted in this session."""
        return self._grant.received

    @property
    def window(self) -> int:
        """Bytes granted beyond `received`."""
        return self._grant.window

    def idle(self) -> bool:
        """Nothing is wanted and nothing is being stored."""
        return not (self._asked or self._waiting or self._whole)

    def handle(self, event: ReceiverEvent, *, now: float) -> list[ReceiverCommand]:
        """Take an event; returns what to do, in this order.  `now` is seconds of a clock that never steps back."""
        out: list[ReceiverCommand] = []
        self._handlers[type(event)](event, now, out)
        if self._connected:
            self._settle_reports(now, out)
            self._arm(now, out)
        return out

    # -- what is wanted ---------------------------------------------------------------------------

    def _wanted(self, event: ChunksWanted, _now: float, _out: list[ReceiverCommand]) -> None:
        for digest in event.digests:
            whole = self._whole.get(digest)
            self._dropped.pop(digest, None)
            if whole is not None:
                whole.wanted = True
            elif self._wants.want(digest, event.job):
                # Said again, for this job too: the other one may be shut up there, or less urgent.
                if digest in self._assembly:
                    self._begun.add(digest)
                else:
                    self._to_say.append(digest)

    def _job_policy_set(self, event: JobPolicySet, _now: float, _out: list[ReceiverCommand]) -> None:
        self._wants.follow(event.job, event.policy)

    def _terms_set(self, event: ChildTermsSet, _now: float, _out: list[ReceiverCommand]) -> None:
        if event != self._terms:
            self._terms = event
            self._unsaid_terms = True

    def _unwanted(self, event: ChunksUnwanted, _now: float, out: list[ReceiverCommand]) -> None:
        for digest in event.digests:
            self._wants.unwait(digest)
            self._wants.settled(digest)
            self._attempts.pop(digest, 0)
            if self._wants.gone(digest) is not None:
                self._dropped[digest] = None
                self._to_drop.append(digest)
                if self._assembly.drop(digest):
                    out.append(DiscardChunk(digest))
            elif digest in self._whole:
                self._whole[digest].wanted = False

    def _absent(self, event: AbsentReceived, _now: float, out: list[ReceiverCommand]) -> None:
        for digest in event.digests:
            if digest in self._asked:
                self._give_up(digest, event.reason, out)

    def _give_up(self, digest: Digest, reason: str, out: list[ReceiverCommand]) -> None:
        self._wants.gone(digest)
        self._wants.settled(digest)
        self._attempts.pop(digest, 0)
        if self._assembly.drop(digest):
            out.append(DiscardChunk(digest))
        self.counters.absent += 1
        out.append(ReportAbsent(digest, reason))

    # -- what comes -------------------------------------------------------------------------------

    def _frame(self, event: FrameReceived, now: float, out: list[ReceiverCommand]) -> None:
        self._heard_at = now
        self._quiet = QUIET_FIRST
        self.counters.frames += 1
        wants, assembly = self._wants, self._assembly
        asked, waiting = self._asked, self._waiting
        store: list[Piece] = []
        for piece in event.pieces:
            digest, length = piece.digest, piece.length
            self._grant.received += length
            if length == piece.size and digest not in assembly and (digest in asked or digest in waiting):
                # The usual case: a whole chunk, all of it new (one not asked yet may come early, in a group's frame).
                job = wants.gone(digest) if digest in asked else wants.unwait(digest)
                self._whole[digest] = _Whole(length, job or "")
                self._grant.unstored += length
                self.counters.useful += length
                store.append(piece)
            else:
                self._part(piece, now, out)
        if store:
            out.append(StoreChunks(tuple(store)))

    def _part(self, piece: Piece, now: float, out: list[ReceiverCommand]) -> None:
        digest, length, counters = piece.digest, piece.length, self.counters
        if digest not in self._asked:
            if digest not in self._waiting:
                self._unwelcome(digest, length, now)
                return
            # Not asked yet, but wanted: a group's frame may bring it early.
            self._wants.ask(digest, self._wants.unwait(digest) or "")
        fit = self._assembly.take(piece)
        if fit is Fit.REPEATED:
            counters.repeated += length
            return
        if fit is Fit.REFUSED or fit is Fit.DROPPED:
            counters.refused += length
            if fit is Fit.DROPPED:
                out.append(DiscardChunk(digest))
            return
        if fit is Fit.CONTRADICTS:
            out.append(DiscardChunk(digest))
        counters.useful += length
        out.append(KeepPiece(piece))
        if fit is Fit.WHOLE or self._assembly.complete(digest):
            self._assembly.drop(digest)
            self._whole[digest] = _Whole(piece.size, self._wants.gone(digest) or "")
            self._grant.unstored += piece.size
            out.append(AssembleChunk(digest))

    def _unwelcome(self, digest: Digest, length: int, now: float) -> None:
        """A piece came that is not wanted."""
        if digest in self._whole:
            self.counters.repeated += length
            return
        self.counters.unasked += length
        if digest in self._dropped and not self._to_drop and now >= self._dropped_at + DROP_AGAIN:
            # It is under way still, or the word was lost.
            self._to_drop = [dropped for dropped in self._dropped if dropped not in self._asked]

    def _marked(self, event: MarkReceived, now: float, out: list[ReceiverCommand]) -> None:
        if event.session != self.session:
            return  # of an earlier life of this child
        if not (0 <= event.mark < LARGEST_MARK and 0 <= event.charged < LARGEST_COUNT // 2):
            return  # nobody ever sent so much; a parent that keeps to the rules would not take our answer
        self._heard_at = now
        before = self._grant.received
        self._grant.settle(event.charged, exact=event.mark > self._mark)
        change = self._grant.received - before
        self.counters.lost += max(0, change)
        self.counters.surplus += max(0, -change)
        self._mark = max(self._mark, event.mark)
        self._say_everything(now, out)

    def _stored(self, event: ChunksStored, _now: float, _out: list[ReceiverCommand]) -> None:
        for digest in event.digests:
            whole = self._whole.pop(digest, None)
            if whole is None:
                continue
            self._grant.unstored -= whole.size
            self._attempts.pop(digest, 0)
            self._wants.settled(digest)
            counters = self.counters
            counters.stored += 1
            counters.jobs[whole.job] = counters.jobs.get(whole.job, 0) + whole.size

    def _rejected(self, event: ChunkRejected, _now: float, out: list[ReceiverCommand]) -> None:
        digest = event.digest
        whole = self._whole.pop(digest, None)
        if whole is None:
            return
        self._grant.unstored -= whole.size
        self.counters.rejected += 1
        self.counters.corrupt += whole.size
        if not whole.wanted:
            self._attempts.pop(digest, 0)
            self._wants.settled(digest)
            return
        attempts = self._attempts[digest] = self._attempts.get(digest, 0) + 1
        if attempts >= MOST_ATTEMPTS:
            self._give_up(digest, "corrupt", out)
        else:
            self._wants.ask(digest, whole.job)
            self._to_say.append(digest)

    # -- the way to the parent --------------------------------------------------------------------

    def _parent_connected(self, _event: ParentConnected, now: float, out: list[ReceiverCommand]) -> None:
        self._connected = True
        self._heard_at = now
        self._quiet = QUIET_FIRST
        self._armed = None
        self._say_everything(now, out)

    def _parent_lost(self, _event: ParentLost, _now: float, _out: list[ReceiverCommand]) -> None:
        self._connected = False
        self._flush_at = self._armed = None

    def _timer(self, _event: TimerFired, now: float, out: list[ReceiverCommand]) -> None:
        self._armed = None
        if self._connected and self._asked and now >= max(self._heard_at, self._told_at) + self._quiet - 1e-9:
            self._quiet = min(2 * self._quiet, QUIET_LONGEST)
            self._say_everything(now, out)

    # -- reports ----------------------------------------------------------------------------------

    def _settle_reports(self, now: float, out: list[ReceiverCommand]) -> None:
        """Decide whether a report is due: news at once, progress by its size and age."""
        if self._waiting:
            self._to_say += self._wants.next()
        untold = self._grant.untold
        last = untold > 0 and not self._asked and not self._waiting
        if self._to_drop or self._begun or self._unsaid_terms or last:
            holes = [hole for hole in self._assembly.repairs() if hole[0] in self._begun] if self._begun else []
            self._say(self._to_say, holes, now, out)
            return
        due = NEVER
        if self._to_say:
            due = wants_due(len(self._to_say), len(self._asked), self._told_at)
        if untold > 0:
            due = min(due, progress_due(untold, self._grant.step, self._told_at, self._heard_at))
        if now >= due - 1e-9:
            self._say(self._to_say, (), now, out)
        else:
            self._flush_at = due if due < NEVER else None

    def _say_everything(self, now: float, out: list[ReceiverCommand]) -> None:
        if not self._connected:
            return
        self._to_say += self._wants.next(all_=True)
        wants = [digest for digest in self._asked if digest not in self._assembly]
        self._say(wants, tuple(self._assembly.repairs()), now, out)

    def _say(self, wants: Sequence[Digest], repairs: Sequence[Repair], now: float, out: list[ReceiverCommand]) -> None:
        drops = [digest for digest in self._to_drop if digest not in self._asked]
        if drops:
            self._dropped_at = now
            while len(self._dropped) > MOST_DROPPED:
                del self._dropped[next(iter(self._dropped))]
        listed = self._wants.for_each(wants)
        holes = self._wants.for_each_hole(repairs)
        while True:
            some, mend = listed[:REPORT_WANTS], holes[:REPORT_REPAIRS]
            report = Report(
                session=self.session,
                received=self._grant.received,
                window=self._grant.window,
                mark=self._mark,
                wants=b"".join([digest for digest, _ in some]),
                repairs=[hole for hole, _ in mend],
                jobs=self._wants.runs([job for _, job in (*some, *mend)]),
                drops=b"".join(drops[:REPORT_WANTS]),
                segment=self._terms.segment,
                pause_ms=int(self._terms.pause * 1000),
                rate=self._terms.rate,
            )
            out.append(SendReport(report))
            listed, holes, drops = listed[REPORT_WANTS:], holes[REPORT_REPAIRS:], drops[REPORT_WANTS:]
            if not (listed or holes or drops):
                break
        self._to_say = []
        self._begun.clear()
        self._to_drop = []
        self._unsaid_terms = False
        self._flush_at = None
        self._told_at = now
        self._grant.told()

    def _arm(self, now: float, out: list[ReceiverCommand]) -> None:
        """Ask to be woken for the earliest thing due, unless an earlier waking stands already."""
        due = self._flush_at
        if self._asked:
            quiet = max(self._heard_at, self._told_at) + self._quiet
            due = quiet if due is None else min(due, quiet)
        if due is not None and (self._armed is None or due < self._armed - 1e-6 or self._armed < now):
            self._armed = max(due, now)
            out.append(WakeAt(self._armed))
