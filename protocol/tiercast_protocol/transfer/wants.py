"""What the child wants, for which jobs, and what of it was asked (docs/protocol-transfer.md, section 6.3).

Rules
- A chunk is wanted for one job: of several the one of the highest priority.  The others are kept beside it and said
  too, for the parent knows which of them may go now; of more than `MOST_JOBS` the newest.
- What waits is asked in the order of priorities, and within a job in the order in which it was wanted.
- At most so many are asked at once; a job that is more urgent than some of those may ask `RESERVE` beyond that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from tiercast_protocol.transfer.assembly import Repair
from tiercast_protocol.transfer.events import Digest, Job
from tiercast_protocol.transfer.policy import USUAL_PRIORITY, JobPolicy

T = TypeVar("T")
#: Most digests asked for and not yet whole.
MOST_ASKED = 4096
#: Digests that an urgent job may ask for though so many are asked.
RESERVE = 1024
#: Most jobs that one chunk is said to be wanted for.
MOST_JOBS = 8


class Wants:
    """Wanted chunks of one child: waiting here, or asked of the parent."""

    __slots__ = ("_counts", "_most", "_priorities", "_queues", "_reserve", "asked", "further", "waiting")

    def __init__(self, most_asked: int = MOST_ASKED) -> None:
        self._most = most_asked
        self._reserve = min(RESERVE, most_asked)
        #: For which job each is wanted.
        self.asked: dict[Digest, Job] = {}
        self.waiting: dict[Digest, Job] = {}
        #: For which other jobs, where there are any.
        self.further: dict[Digest, dict[Job, None]] = {}
        self._queues: dict[Job, dict[Digest, None]] = {}
        self._counts: dict[Job, int] = {}
        self._priorities: dict[Job, int] = {}

    def follow(self, job: Job, policy: JobPolicy | None) -> None:
        """The job is of this priority from now on."""
        if policy is None:
            self._priorities.pop(job, None)
        else:
            self._priorities[job] = policy.priority

    def _priority(self, job: Job) -> int:
        return self._priorities.get(job, USUAL_PRIORITY)

    def want(self, digest: Digest, job: Job) -> bool:
        """The chunk is wanted for `job`; whether it was asked for others only, and is to be said for this one too."""
        asked = self.asked.get(digest)
        if asked is not None:
            if asked == job:
                return False
            if self._priority(job) <= self._priority(asked):
                return self._also(digest, job)
            self.gone(digest)
            self.ask(digest, job)
            self._also(digest, asked)
            return True
        before = self.waiting.get(digest)
        if before is not None:
            if before == job:
                return False
            if self._priority(job) <= self._priority(before):
                self._also(digest, job)
                return False
            self.unwait(digest)
            self._also(digest, before)
        self.waiting[digest] = job
        self._queues.setdefault(job, {})[digest] = None
        return False

    def _also(self, digest: Digest, job: Job) -> bool:
        """Keep `job` beside the one that the chunk is wanted for; whether that is new."""
        further = self.further.setdefault(digest, {})
        if job in further:
            return False
        further[job] = None
        if len(further) >= MOST_JOBS:
            del further[next(iter(further))]
        return True

    def settled(self, digest: Digest) -> None:
        """The chunk is here, or given up: it is wanted for nobody."""
        self.further.pop(digest, None)

    def for_each(self, digests: Iterable[Digest]) -> list[tuple[Digest, Job]]:
        """Those that are asked, for the job that counts, and then again for each other that they are wanted for."""
        asked = self.asked
        return self._further([(digest, asked[digest]) for digest in digests if digest in asked], lambda digest: digest)

    def for_each_hole(self, holes: Iterable[Repair]) -> list[tuple[Repair, Job]]:
        """The same of holes of begun chunks."""
        asked = self.asked
        return self._further([(hole, asked.get(hole[0], "")) for hole in holes], lambda hole: hole[0])

    def _further(self, said: list[tuple[T, Job]], digest_of: Callable[[T], Digest]) -> list[tuple[T, Job]]:
        if not self.further:
            return said
        others = self.further.get
        return said + [(one, other) for one, job in said for other in others(digest_of(one), ()) if other != job]

    def unwait(self, digest: Digest) -> Job | None:
        """The chunk waits no more; for which job it did."""
        job = self.waiting.pop(digest, None)
        if job is not None:
            queue = self._queues[job]
            del queue[digest]
            if not queue:
                del self._queues[job]
        return job

    def ask(self, digest: Digest, job: Job) -> None:
        """The chunk is asked for."""
        self.asked[digest] = job
        self._counts[job] = self._counts.get(job, 0) + 1

    def gone(self, digest: Digest) -> Job | None:
        """The chunk is asked for no more; for which job it was."""
        job = self.asked.pop(digest, None)
        if job is not None:
            left = self._counts[job] - 1
            if left:
                self._counts[job] = left
            else:
                del self._counts[job]
        return job

    def next(self, *, all_: bool = False) -> list[Digest]:
        """Which to ask for now; they are asked then.  Few at a time cost a report each: only `all_` may be few."""
        if not self.waiting:
            return []
        room = self._most - len(self.asked)
        if room < (1 if all_ else max(1, self._most // 4)):
            return self._urgent(all_=all_)
        found: list[Digest] = []
        for job in sorted(self._queues, key=self._priority, reverse=True):
            self._take(job, room - len(found), found)
        return found

    def _urgent(self, *, all_: bool) -> list[Digest]:
        """What passes the limit: of the most urgent job that waits, if a lower one is asked."""
        job = max(self._queues, key=self._priority)
        priority = self._priority(job)
        room = self._reserve - self._counts.get(job, 0)
        found: list[Digest] = []
        enough = 1 if all_ else max(1, self._reserve // 4)
        if room >= enough and any(self._priority(other) < priority for other in self._counts):
            self._take(job, room, found)
        return found

    def _take(self, job: Job, most: int, found: list[Digest]) -> None:
        queue = self._queues[job]
        for digest in list(queue)[:most] if most < len(queue) else list(queue):
            self.unwait(digest)
            self.ask(digest, job)
            found.append(digest)

    @staticmethod
    def runs(jobs: Iterable[Job]) -> list[tuple[Job, int]]:
        """For which jobs what is said is: (job, count), in their order; empty when it is for none."""
        found: list[tuple[Job, int]] = []
        last, count = "", 0
        for job in jobs:
            if job != last and count:
                found.append((last, count))
                count = 0
            last = job
            count += 1
        if last:
            found.append((last, count))
        return found
