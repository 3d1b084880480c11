"""What people say while a region's story runs: policies of jobs and links, suspensions at any tier, wishes of children.

Rules
- A word is kept by the node that it was said to, and said again to its machine after a restart, as real nodes do.
- Every word is taken back before the story's trouble is over, but for some that slow down only.
- No byte goes where what stands forbids it: each frame is held against the words, by rules of their own that know
  nothing of the machine's.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tiercast_protocol.transfer import events as e
from tiercast_protocol.transfer.policy import JobPolicy, LinkPolicy, Pace

if TYPE_CHECKING:
    from tests.simulation.nodes import Node
    from tests.simulation.world import World

#: The endpoints of one gateway want everything for one job, those of the other for the other.
JOBS = ("j0", "j1")
#: Seconds that a word stands, at most; everything that forbids is taken back by then at the latest.
LONGEST = 5.0
USUAL = JobPolicy()


@dataclass(slots=True)
class Words:
    """What stands at one node about the links and jobs below it."""

    links: dict[str, LinkPolicy] = field(default_factory=dict)
    #: Bytes published to a child since its link's budget was said, in this life of the node.
    spent: dict[str, int] = field(default_factory=dict)
    suspended: set[str] = field(default_factory=set)
    silent: set[tuple[str, str | None]] = field(default_factory=set)
    policies: dict[str, JobPolicy] = field(default_factory=dict)

    def again(self) -> list[e.SenderEvent]:
        """All of it, for a machine that begins anew."""
        said: list[e.SenderEvent] = [e.JobPolicySet(job, policy) for job, policy in self.policies.items()]
        said += [e.LinkPolicySet(child, policy) for child, policy in self.links.items()]
        said += [e.LaneSuspended(child) for child in self.suspended]
        said += [e.JobSuspended(job, child) for job, child in self.silent]
        self.spent = dict.fromkeys(self.spent, 0)
        return said

    def forbids(self, child: str, jobs: frozenset[str], length: int) -> str:
        """Why nothing may go to this child of what it wants for these jobs; "" when something may."""
        link = self.links.get(child, LinkPolicy())
        if link.pace.rate == 0:
            return "the window is shut"
        if link.pace.budget is not None:
            self.spent[child] = self.spent.get(child, 0) + length
            if self.spent[child] > link.pace.budget:
                return f"{self.spent[child]} bytes of a budget of {link.pace.budget}"
        reasons = [self._closed(child, link, job) for job in sorted(jobs)]
        return "" if "" in reasons else "; ".join(reasons)

    def _closed(self, child: str, link: LinkPolicy, job: str) -> str:
        policy = self.policies.get(job, USUAL)
        if (job, None) in self.silent or (job, child) in self.silent:
            return f"{job} is suspended"
        if child in self.suspended and not policy.pass_suspended:
            return f"the link is suspended for {job}"
        return f"the link is metered for {job}" if link.metered and not policy.metered else ""


class Steering:
    """Says things to a region.

    Args:
        world: its clock.
        nodes: its nodes by name.
        seed: of what is said; the region's own chance is left alone.
    """

    def __init__(self, world: World, nodes: dict[str, Node], seed: int) -> None:
        self._world, self._nodes = world, nodes
        self._random = random.Random(seed)

    def say(self, times: int, until: float) -> None:
        """So many words at some time before `until`."""
        says: tuple[Callable[[float], None], ...] = (
            self._link,
            self._link,
            self._job,
            self._suspend_job,
            self._suspend_host,
            self._suspend_below,
            self._wish,
        )
        for _ in range(times):
            at = self._random.uniform(0.05, until)
            self._world.at(at, self._random.choice(says), min(LONGEST, self._random.expovariate(0.5)))
        self._world.at(until + LONGEST, self._all_is_said)

    # -- words ---------------------------------------------------------------------------------------

    def _link(self, seconds: float) -> None:
        """A window, a metered link, a budget, a split, a rate: then the next one, or none."""
        child = self._someone_below()
        chance = self._random
        rate = chance.choice([0.0, 0.0, 3e4, 2e5, 1e6])
        policy = chance.choice(
            [
                LinkPolicy(Pace(rate=rate)),
                LinkPolicy(Pace(rate=2e5, floor=5e4), adaptive=True),
                LinkPolicy(Pace(segment=chance.randint(20_000, 200_000), pause=chance.uniform(1.0, 2.0))),
                LinkPolicy(Pace(frames=chance.randint(1, 8), frame_pause=chance.uniform(0.01, 0.3))),
                LinkPolicy(Pace(budget=chance.randint(1_000, 300_000))),
                LinkPolicy(metered=True),
            ]
        )
        parent = child.parent
        assert parent is not None
        self._set_link(parent, child.name, policy)
        self._injected("link policy")
        self._world.after(seconds, self._set_link, parent, child.name, LinkPolicy())

    def _set_link(self, parent: Node, child: str, policy: LinkPolicy) -> None:
        if policy.pace.budget is None:
            parent.words.spent.pop(child, None)
        else:
            # What this link carried under an earlier budget counts on; we may know less of it, and never more.
            parent.words.spent.setdefault(child, 0)
        parent.words.links[child] = policy
        parent.tell_sender(e.LinkPolicySet(child, policy))

    def _job(self, seconds: float) -> None:
        """How a job travels, the same at every tier."""
        chance, job = self._random, self._random.choice(JOBS)
        policy = JobPolicy(
            Pace(rate=chance.choice([None, 1e5, 1e6])),
            priority=chance.randint(1, 9),
            fanout=chance.choice(["auto", "multicast", "unicast"]),
            pass_suspended=chance.random() < 0.5,
            metered=chance.random() < 0.5,
        )
        self._set_job(job, policy)
        self._injected("job policy")
        self._world.after(seconds, self._set_job, job, JobPolicy(priority=chance.randint(1, 9)))

    def _set_job(self, job: str, policy: JobPolicy) -> None:
        for node in self._nodes.values():
            node.words.policies[job] = policy
            node.tell_receiver(e.JobPolicySet(job, policy))
            node.tell_sender(e.JobPolicySet(job, policy))

    def _suspend_job(self, seconds: float) -> None:
        """A job everywhere at one tier, or for one of its children."""
        parent, job = self._someone_above(), self._random.choice(JOBS)
        child = self._random.choice([None, *parent.children])
        parent.words.silent.add((job, child))
        parent.tell_sender(e.JobSuspended(job, child))
        self._injected("suspended job")
        self._world.after(seconds, self._resume_job, parent, job, child)

    def _resume_job(self, parent: Node, job: str, child: str | None) -> None:
        parent.words.silent.discard((job, child))
        parent.tell_sender(e.JobResumed(job, child))

    def _suspend_host(self, seconds: float) -> None:
        child = self._someone_below()
        self._hold(child)
        self._injected("suspended host")
        self._world.after(seconds, self._release, child)

    def _suspend_below(self, seconds: float) -> None:
        """A link, and every link below it."""
        top = self._someone_below()
        held, rest = [], [top]
        while rest:
            node = rest.pop()
            held.append(node)
            rest += node.children.values()
        for node in held:
            self._hold(node)
            self._world.after(seconds, self._release, node)
        self._injected("suspended sub-tree")

    def _hold(self, child: Node) -> None:
        assert child.parent is not None
        child.parent.words.suspended.add(child.name)
        child.parent.tell_sender(e.LaneSuspended(child.name))

    def _release(self, child: Node) -> None:
        assert child.parent is not None
        child.parent.words.suspended.discard(child.name)
        child.parent.tell_sender(e.LaneResumed(child.name))

    def _wish(self, seconds: float) -> None:
        """A child asks for terms of its own."""
        child, chance = self._someone_below(), self._random
        child.tell_receiver(e.ChildTermsSet(chance.randint(20_000, 200_000), 1.0, chance.choice([0, 100_000])))
        self._injected("wish")
        self._world.after(seconds, child.tell_receiver, e.ChildTermsSet())

    def _all_is_said(self) -> None:
        """Nothing that forbids stands any more; a limit or two may."""
        for parent in self._nodes.values():
            for child in parent.children:
                rate = self._random.choice([None, None, None, 1e6])
                self._set_link(parent, child, LinkPolicy(Pace(rate=rate)))
            for job, child in sorted(parent.words.silent, key=str):
                self._resume_job(parent, job, child)
            for name in sorted(parent.words.suspended):
                self._release(parent.children[name])

    # -- whom ----------------------------------------------------------------------------------------

    def _someone_below(self) -> Node:
        return self._random.choice([node for node in self._nodes.values() if node.parent is not None])

    def _someone_above(self) -> Node:
        return self._random.choice([node for node in self._nodes.values() if node.children])

    def _injected(self, what: str) -> None:
        self._world.injected[what] += 1


def jobs_below(node: Node) -> frozenset[str]:
    """The jobs for which the node, or whoever is below it, wants anything."""
    own = frozenset({node.job} if node.job else ())
    return own.union(*map(jobs_below, node.children.values()))
