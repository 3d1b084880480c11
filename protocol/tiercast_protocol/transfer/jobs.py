"""The jobs that wants belong to, as the sender knows them (docs/protocol-transfer.md, section 6.7).

Rules
- A job is known by its policy, by its suspension, or because a child wants something for it; of unknown jobs only so
  many are remembered, for their names come from children.
- "" is the job of what belongs to none: usual priority, no terms.
- A suspension of everybody and one of a child are two words; each is taken back by itself.
"""

from __future__ import annotations

from tiercast_protocol.transfer.events import Child
from tiercast_protocol.transfer.events import Job as Name
from tiercast_protocol.transfer.gates import Gates
from tiercast_protocol.transfer.policy import USUAL_PRIORITY, JobPolicy, Pace

#: Jobs without policy that are remembered, and the longest name of one.
MOST_UNKNOWN = 4096
LONGEST_NAME = 256
_USUAL = JobPolicy()


class Job:
    """One job: its policy, its gates over all lanes, where it is suspended."""

    __slots__ = ("everywhere", "gates", "name", "policy", "priority", "suspended")

    def __init__(self, name: Name) -> None:
        self.name = name
        self.policy = _USUAL
        self.priority = USUAL_PRIORITY
        #: Rate and floor, which hold over all lanes together.
        self.gates = Gates()
        self.everywhere = False
        self.suspended: set[Child] = set()

    def follow(self, policy: JobPolicy | None, now: float) -> None:
        """So it travels from now on."""
        self.policy = policy or _USUAL
        self.priority = self.policy.priority
        pace = self.policy.pace
        self.gates.set(Pace(rate=pace.rate, floor=pace.floor), now)

    @property
    def terms(self) -> Pace:
        """What holds on each lane by itself."""
        pace = self.policy.pace
        return Pace(
            segment=pace.segment,
            pause=pace.pause,
            frames=pace.frames,
            frame_pause=pace.frame_pause,
            budget=pace.budget,
        )

    def silent(self, child: Child) -> bool:
        """Whether nothing of it may go to the child."""
        return self.everywhere or child in self.suspended


class Jobs:
    """All jobs of one sender."""

    def __init__(self) -> None:
        self._jobs: dict[Name, Job] = {"": Job("")}
        self._set: set[Name] = set()
        #: Whether all are of one priority and none has a floor: then turns need no comparing.
        self.flat = True

    def __len__(self) -> int:
        return len(self._jobs)

    def get(self, name: Name) -> Job:
        """The job, unknown ones included; "" for a name that is too long, or when too many are unknown."""
        job = self._jobs.get(name)
        if job is None:
            if len(name) > LONGEST_NAME or len(self._jobs) - len(self._set) > MOST_UNKNOWN:
                return self._jobs[""]
            job = self._jobs[name] = Job(name)
        return job

    def follow(self, name: Name, policy: JobPolicy | None, now: float) -> Job:
        """The job with its policy changed."""
        job = self._jobs.setdefault(name, Job(name))
        job.follow(policy, now)
        (self._set.discard if policy is None else self._set.add)(name)
        jobs = [self._jobs[known] for known in self._set]
        self.flat = all(job.priority == USUAL_PRIORITY and job.gates.floor is None for job in jobs)
        return job

    def suspend(self, name: Name, child: Child | None, *, silent: bool) -> Job:
        """The job with its suspension changed."""
        job = self._jobs.setdefault(name, Job(name))
        if child is None:
            job.everywhere = silent
        else:
            (job.suspended.add if silent else job.suspended.discard)(child)
        return job

    def prune(self, used: set[Name]) -> None:
        """Forget what has neither policy nor suspension, and no lane uses."""
        for name, job in list(self._jobs.items()):
            if name and name not in used and name not in self._set and not job.everywhere and not job.suspended:
                del self._jobs[name]
