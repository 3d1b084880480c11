"""What holds for the link to one child, over all its sessions (docs/protocol-transfer.md, section 6.7).

Rules
- The parent's policy and the child's wish hold together: of each term the stricter.
- It outlives lanes: a child that restarts, or was cut off, gets neither a new budget nor out of a pause.
- Every job has its own segments, intervals and budget on every link.
- The node's output is a link too: the one to everybody, named "".
"""

from __future__ import annotations

from tiercast_protocol.transfer.adaptive import Adaptive
from tiercast_protocol.transfer.credit import Known
from tiercast_protocol.transfer.events import Child
from tiercast_protocol.transfer.events import Job as Name
from tiercast_protocol.transfer.gates import NEVER, Gate, Gates, ready_at
from tiercast_protocol.transfer.jobs import Job
from tiercast_protocol.transfer.policy import LinkPolicy, Pace, stricter

_FREE = LinkPolicy()
#: Jobs whose segments and budgets are remembered per link.
_MOST_JOBS = 1024


class Link:
    """The terms of one child, or of all together."""

    __slots__ = ("adaptive", "chain", "child", "gates", "jobs", "known", "policy", "suspended", "wish")

    def __init__(self, child: Child) -> None:
        self.child = child
        self.policy = _FREE
        self.wish = Pace()
        self.gates = Gates()
        #: What yields when the round trip grows, where that is asked for.
        self.adaptive: Adaptive | None = None
        #: All gates of the link.
        self.chain: tuple[Gate, ...] = ()
        self.suspended = False
        #: Gates by job, for jobs that have terms of their own.
        self.jobs: dict[Name, Gates] = {}
        #: What the last session found out.
        self.known: Known | None = None

    @property
    def rate(self) -> float | None:
        """Bytes per second at most, as was set; None is unlimited."""
        return self.gates.pace.rate

    @property
    def cap(self) -> float | None:
        """The same, or what the link yielded to."""
        rate = self.gates.pace.rate
        slowed = self.adaptive.rate if self.adaptive is not None else None
        return rate if slowed is None or (rate is not None and rate <= slowed) else slowed

    def follow(self, policy: LinkPolicy | None, now: float) -> None:
        """So it is served from now on."""
        self.policy = policy or _FREE
        self._merge(now)

    def ask(self, wish: Pace, now: float) -> bool:
        """The child asks for these terms; whether that is news."""
        if wish == self.wish:
            return False
        self.wish = wish
        self._merge(now)
        return True

    def _merge(self, now: float) -> None:
        self.gates.set(stricter(self.policy.pace, self.wish), now)
        if not self.policy.adaptive:
            self.adaptive = None
        elif self.adaptive is None:
            self.adaptive = Adaptive()
        self.chain = self.gates.all
        if self.adaptive is not None:
            self.adaptive.floor = self.gates.pace.floor
            self.chain = (*self.chain, self.adaptive)

    def of(self, job: Job, now: float) -> Gates | None:
        """The job's own gates on this link; None when it has no terms."""
        gates = self.jobs.get(job.name)
        if gates is None:
            if job.terms == Pace():
                return None
            while len(self.jobs) >= _MOST_JOBS:
                del self.jobs[next(iter(self.jobs))]
            gates = self.jobs[job.name] = Gates()
        gates.set(job.terms, now)
        return gates

    def shut(self, now: float) -> bool:
        """Whether nothing may go before the terms change."""
        return ready_at(self.chain, now) == NEVER

    def like(self, other: Link) -> bool:
        """Whether the two have the same pauses, and yield alike."""
        a, b = self.gates.pace, other.gates.pace
        return (self.policy.adaptive, a.segment, a.pause, a.frames, a.frame_pause) == (
            other.policy.adaptive,
            b.segment,
            b.pause,
            b.frames,
            b.frame_pause,
        )
