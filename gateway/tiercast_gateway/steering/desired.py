"""From everything that was said to what the `Sender` is to be told.  Pure (docs/protocol-steering.md).

Rules
- What was said, the time on the wall and what is spent go in; policies and suspensions come out, each with the
  reason that a human reads.  Nothing is remembered: the same goes in, the same comes out.
- A link that is shut (by window or budget) has a rate of 0; a job that is shut is suspended.
- Of a job's terms and a link's, the machine takes the stricter; here only what time and budgets do to each.
- `changes` gives the events from one state to the next: what shuts before what opens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from tiercast_gateway.steering.holds import Hold
from tiercast_protocol.content.jobs.reason import Reason, because
from tiercast_protocol.transfer import calendar
from tiercast_protocol.transfer import events as t
from tiercast_protocol.transfer.calendar import Window
from tiercast_protocol.transfer.policy import JobPolicy, LinkPolicy, Pace

#: Of all links together.
OUTPUT = ""
NO_PACE, USUAL = Pace(), JobPolicy()
#: What a child said of its own link (`Hello.metered`).
SAID_NOTHING, SAID_METERED, SAID_ALLOWED = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Budget:
    """Bytes and seconds that may be used in one period, and what is used.

    `ends` is when the period does (milliseconds since 1970; 0 for a job's), `whose` who gave it: job, link or output.
    """

    per: str = "job"
    bytes: int | None = None
    seconds: int | None = None
    used_bytes: int = 0
    used_seconds: float = 0.0
    ends: int = 0
    whose: str = "job"

    @property
    def reason(self) -> Reason | None:
        """Why nothing goes any more; None while something is left."""
        bytes_out = self.bytes is not None and self.used_bytes >= self.bytes
        if not bytes_out and (self.seconds is None or self.used_seconds < self.seconds):
            return None
        return because(
            "budget.spent",
            until=self.ends,
            per=self.per,
            terms=self.whose,
            used=self.used_bytes if bytes_out else None,
            limit=self.bytes if bytes_out else None,
            used_s=None if bytes_out else int(self.used_seconds),
            limit_s=None if bytes_out else self.seconds,
        )


@dataclass(frozen=True, slots=True)
class LinkTerms:
    """What was said of one link; `metered` None is nothing."""

    pace: Pace = NO_PACE
    windows: tuple[Window, ...] = ()
    metered: bool | None = None
    adaptive: bool = False
    budget: Budget | None = None
    child_says: int = SAID_NOTHING

    @property
    def is_metered(self) -> bool:
        """Whether only jobs that may use metered links are served: the owner's exception goes before all."""
        if self.child_says == SAID_ALLOWED:
            return False
        return self.metered if self.metered is not None else self.child_says == SAID_METERED


@dataclass(frozen=True, slots=True)
class JobTerms:
    """What was said of one job; `budgets` by child; nothing of it goes before `begins` (seconds since 1970)."""

    policy: JobPolicy = USUAL
    windows: tuple[Window, ...] = ()
    begins: float = 0.0
    budgets: Mapping[str, Budget] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Desired:
    """What the machine is to know, and why."""

    links: dict[str, LinkPolicy] = field(default_factory=dict)
    jobs: dict[str, JobPolicy] = field(default_factory=dict)
    lanes: dict[str, Reason] = field(default_factory=dict)
    silent: dict[tuple[str, str | None], Reason] = field(default_factory=dict)
    #: Why a link is shut that is not suspended.
    shut: dict[str, Reason] = field(default_factory=dict)

    def why(self, child: str, job: str) -> Reason | None:
        """Why nothing of `job` goes to `child`, as far as it was said to this node; None where nothing was."""
        policy = self.jobs.get(job)
        lane = None if policy is not None and policy.pass_suspended else self.lanes.get(child)
        link = self.links.get(child)
        metered = link is not None and link.metered and not (policy is not None and policy.metered)
        return (
            lane
            or self.silent.get((job, child))
            or self.silent.get((job, None))
            or self.shut.get(child)
            or self.shut.get(OUTPUT)
            or (because("link.metered", peer=child) if metered else None)
        )


def desired(
    *,
    links: Mapping[str, LinkTerms],
    jobs: Mapping[str, JobTerms],
    holds: Sequence[Hold],
    children: Sequence[str],
    wall: float,
    stopped: Mapping[str, Reason] | None = None,
) -> Desired:
    """What the machine is to know at `wall` (seconds since 1970).

    `holds` are those that stand; `stopped` are jobs of which nothing more is to begin, each with the reason.
    """
    found = Desired()
    for job, reason in (stopped or {}).items():
        found.silent[job, None] = reason
    for child, terms in links.items():
        _link(found, child, terms, wall)
    for job, said in jobs.items():
        _job(found, job, said, wall)
    for hold in holds:
        reason = _suspended(hold)
        if hold.job and hold.node == "":
            found.silent.setdefault((hold.job, None), reason)
        for child in children:
            if hold.covers(child):
                if not hold.job:
                    found.lanes.setdefault(child, reason)
                elif hold.node == child:
                    found.silent.setdefault((hold.job, child), reason)
    return found


def changes(before: Desired, after: Desired) -> list[t.SenderEvent]:
    """The events that lead from one to the other."""
    events: list[t.SenderEvent] = [t.LaneSuspended(child) for child in after.lanes.keys() - before.lanes.keys()]
    events += [t.JobSuspended(*key) for key in after.silent.keys() - before.silent.keys()]
    for child in before.links.keys() | after.links.keys():
        if before.links.get(child) != after.links.get(child):
            events.append(t.LinkPolicySet(child, after.links.get(child)))
    for job in before.jobs.keys() | after.jobs.keys():
        if before.jobs.get(job) != after.jobs.get(job):
            events.append(t.JobPolicySet(job, after.jobs.get(job)))
    events += [t.JobResumed(*key) for key in before.silent.keys() - after.silent.keys()]
    events += [t.LaneResumed(child) for child in before.lanes.keys() - after.lanes.keys()]
    return events


def _link(found: Desired, child: str, terms: LinkTerms, wall: float) -> None:
    rate, reason = _rate(terms.pace.rate, terms.windows, wall, "link" if child != OUTPUT else "output")
    if reason is None and terms.budget is not None:
        reason = terms.budget.reason
    if reason is not None:
        found.shut[child] = reason
        rate = 0.0
    pace = replace(terms.pace, rate=rate, budget=None, floor=terms.pace.floor if rate != 0.0 else None)
    found.links[child] = LinkPolicy(pace=pace, metered=terms.is_metered, adaptive=terms.adaptive)


def _job(found: Desired, job: str, said: JobTerms, wall: float) -> None:
    pace = said.policy.pace
    rate, reason = _rate(pace.rate, said.windows, wall, "job")
    if wall < said.begins:
        reason = because("time.distribute", until=int(said.begins * 1000))
    if reason is not None:
        found.silent.setdefault((job, None), reason)
        rate = pace.rate
    found.jobs[job] = replace(said.policy, pace=replace(pace, rate=rate))
    for child, budget in said.budgets.items():
        if (spent := budget.reason) is not None:
            found.silent[job, child] = spent


def _suspended(hold: Hold) -> Reason:
    what = "link" if hold.link else "job" if hold.job else "node" if hold.of else None
    # a link is resumed from above too, through the node that holds it; all else where it was said
    at = None if hold.link else hold.by.rpartition("@")[2]
    return because("suspended", by=hold.by, until=hold.until, what=what, of=hold.of if what == "node" else None, at=at)


def _rate(
    rate: float | None, windows: tuple[Window, ...], wall: float, whose: str
) -> tuple[float | None, Reason | None]:
    """The rate at this moment, and why it is 0."""
    inside = calendar.rate_at(windows, wall)
    if inside == 0.0:
        change = calendar.next_change(windows, wall)
        until = int(change * 1000) if change < calendar.NEVER else 0
        return 0.0, because("window.shut", window=calendar.shown(windows), until=until, terms=whose)
    return min((one for one in (rate, inside) if one is not None), default=None), None
