"""Why a job of this machine has not ended, as far as the machine knows (docs/jobs.md, "Why").

Rules
- Every step of the installer but its end has a reason; what a job says of itself (a code of the catalogue) goes before.
- What stops the step goes before the step: a parent that can't be reached while chunks are missing, a journal without
  room.  What lies above the machine is known above it.
- Asked at the machine's own socket for one job, it adds what those above know of it (`above`), while they can be
  reached.  There it speaks to the machine's owner (`owner/can.py`), elsewhere to an administrator.
- A cancel is no job: what goes on although it was cancelled says so as the first reason of the job itself.
- A job that has ended waits for nothing; that its receipt was not acknowledged yet is said beside its result.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tiercast_endpoint.jobs import journal
from tiercast_endpoint.jobs.called import called
from tiercast_endpoint.jobs.install import PROGRAMS, RESTING, Step
from tiercast_endpoint.jobs.journal import Job
from tiercast_endpoint.owner import can
from tiercast_protocol.content.jobs.order import CANCEL
from tiercast_protocol.content.jobs.reason import Reason, because, read, shown
from tiercast_protocol.content.jobs.results import RESULTS
from tiercast_protocol.content.jobs.waiting import KINDS
from tiercast_protocol.errors import UsageError
from tiercast_protocol.node.database import Database
from tiercast_protocol.node.post import Post
from tiercast_protocol.node.upstream import Upstream
from tiercast_protocol.node.whyabove import WhyAbove, more
from tiercast_protocol.wire.envelope import Envelope
from tiercast_protocol.wire.messages import Message

#: By step of the installer.
CODE_OF: dict[Step, str] = {
    Step.WAIT: "turn",
    Step.PLAN: "plan",
    Step.FETCH: "fetch",
    Step.ASSEMBLE: "assemble",
    Step.HOLD: "hold",
    Step.BEFORE: "program",
    Step.SWITCH: "install",
    Step.APPLY: "install",
    Step.AFTER: "program",
    Step.ENTER: "install",
    Step.REBOOT: "reboot.waits",
    Step.CONFIRM: "confirm.waits",
    Step.STAND: "turn",
    Step.REVERT: "install",
    Step.UNDO: "install",
    Step.SETTLE: "install",
    Step.DISCARD: "install",
    Step.TAKE: "remove",
    Step.UNLINK: "remove",
    Step.DELETE: "remove",
    Step.RUN: "program",
    Step.STOP: "run",
    Step.KEEP: "run",
    Step.VERIFY: "run",
    Step.LOOK: "run",
    Step.RESTART: "run",
}
#: Steps that need the parent.
_FROM_ABOVE = frozenset({Step.PLAN, Step.FETCH})
#: What is known better here than it was told.
_TURNS = frozenset({"turn", "hold"})
_MOST = 10_000


@dataclass(frozen=True, slots=True)
class Machine:
    """What the jobs have in common: the machine's name, its parent, whether that is there, and lacks room for them."""

    me: str
    parent: str
    connected: bool
    no_room: bool = False


@dataclass(frozen=True, slots=True)
class Look:
    """What an actor says of its job: since when it is at its step, and whether its journal lacks room."""

    since: int = 0
    no_room: bool = False


def of_step(step: Step) -> Reason:
    """What a step alone says."""
    code = CODE_OF[step]
    if code == "program":
        return because(code, program=PROGRAMS[step])
    return because(code, step=step.value) if code in {"install", "remove", "run"} else because(code)


def chain(job: Job, among: Sequence[Job], machine: Machine, look: Look) -> list[Reason]:
    """All that the job waits for, what counts first; [] when it has ended.

    Args:
        job: the job.
        among: every open job of the machine, in order of arrival.
        machine: see `Machine`.
        look: see `Look`.
    """
    step = job.snapshot.step
    if job.finished or step is Step.END:
        return []
    found: list[Reason] = []
    if look.no_room:
        found.append(because("journal.full"))
    if job.code in KINDS and job.code not in _TURNS:
        found.append(read(job.code, job.detail))
    if step in _FROM_ABOVE and not machine.connected:
        found.append(because("parent.lost", peer=machine.parent))
    elif step in _FROM_ABOVE and machine.no_room:
        found.append(because("depot.full", node=machine.parent))
    if step not in RESTING:
        found.append(of_step(step))
    elif not found:
        found.append(_turn(job, among))
    since = look.since or job.at
    return [reason.at(node=machine.me, peer=machine.me, since=since) for reason in found]


def _turn(job: Job, among: Sequence[Job]) -> Reason:
    busy = sum(one.snapshot.step not in RESTING for one in among)
    if job.snapshot.step is Step.HOLD:
        return because("hold", busy=busy)
    before = [
        one.job
        for one in among
        if one.package == job.package
        and one.n < job.n
        and not (one.snapshot.step in RESTING and one.code in KINDS and one.code not in _TURNS)
    ]
    return because("turn", before=before[0]) if before else because("turn", busy=busy)


class Why:
    """Answers `job.why`.

    Args:
        db: the agent's journal.
        post: its outbox.
        machine: gives what the jobs have in common, now.
        looks: gives what the actors say, by (job, revision).
        above: asks those above; None where nobody can be.
    """

    def __init__(
        self,
        db: Database,
        post: Post,
        machine: Callable[[], Machine],
        looks: Callable[[], Mapping[tuple[str, int], Look]],
        above: WhyAbove | None = None,
    ) -> None:
        self._db, self._post, self._machine, self._looks = db, post, machine, looks
        self._above = above
        self.readings = {"job.why": self.why}

    async def at_socket(self, args: dict[str, Any]) -> dict[str, Any]:
        """As `why`; of one job with what those above know of it."""
        asked, me = args.get("job", ""), self._machine().me
        name = asked
        if isinstance(asked, str) and asked:
            name = await self._db.read(lambda connection: called(connection, asked))
        try:
            found = await self.why({**args, "job": name})
        except UsageError:
            above = await self._above.ask(name, me) if self._above is not None and isinstance(name, str) else []
            if not above:
                raise
            return {"node": me, "jobs": [], "above": above}
        if name and self._above is not None:
            own = [reason for one in found["jobs"] for reason in one["chain"]]
            found["above"] = more(own, await self._above.ask(name, me))
        return _to_owner(found)

    async def to_owner(self, args: dict[str, Any]) -> dict[str, Any]:
        """As `why`, told to the machine's owner."""
        return _to_owner(await self.why(args))

    async def why(self, args: dict[str, Any]) -> dict[str, Any]:
        """Why one job, or every open one, has not ended."""
        name = args.get("job", "")
        if not isinstance(name, str):
            raise UsageError("argument.invalid", "job must be the id of a job.", "job.why")
        among = await self._db.read(journal.open_jobs)
        jobs = among
        if name:
            jobs = await self._db.read(lambda connection: journal.revisions(connection, name))
            if not jobs:
                raise UsageError(
                    code="job.unknown",
                    what=f'No job "{name[:80]}" came here.',
                    todo="`tiercast-endpoint jobs` lists those that did.",
                )
            jobs = [one for one in jobs if not one.finished] or jobs[-1:]
        machine, looks = self._machine(), self._looks()
        going_on = {one.job for one in jobs if one.type != CANCEL and not one.finished}
        cancels = {one.job: one for one in jobs if one.type == CANCEL and one.job in going_on}
        jobs = [one for one in jobs if cancels.get(one.job) != one]
        among = [one for one in among if one.type != CANCEL]
        told = [
            self._shown(
                one,
                _of_cancel(cancels.get(one.job), machine)
                + chain(one, among, machine, looks.get((one.job, one.revision), Look())),
            )
            for one in jobs[:_MOST]
        ]
        ended = {one.cause: row for one, row in zip(jobs, told, strict=False) if one.finished}
        for pending in await self._post.pending(limit=_MOST) if ended else []:
            if pending.kind == "status.v1" and (row := ended.get(pending.cause)) is not None:
                unheard = because("receipt.unheard", node=machine.me, peer=pending.peer, since=pending.created)
                row["chain"] = [shown(unheard)]
        return {"node": machine.me, "jobs": told}

    def _shown(self, job: Job, told: Sequence[Reason]) -> dict[str, Any]:
        result: dict[str, Any] = {}
        if job.finished:
            known = RESULTS.get(job.code)
            means, todo = (known.means, known.todo) if known is not None else ("", "")
            result = {"state": job.state, "code": job.code, "detail": job.detail, "means": means, "todo": todo}
        return {
            "job": job.job,
            "type": job.type,
            "package": job.package,
            "version": job.version,
            "state": job.state,
            "done": job.done,
            "total": job.total,
            "chain": [shown(reason) for reason in told],
            "result": result,
        }


def _to_owner(found: dict[str, Any]) -> dict[str, Any]:
    jobs = [
        {**one, "chain": [can.shown(reason) for reason in one["chain"]], "result": can.ended(one["result"])}
        for one in found["jobs"]
    ]
    return {**found, "jobs": jobs}


def _of_cancel(cancel: Job | None, machine: Machine) -> list[Reason]:
    """Why the job goes on although it is cancelled, where the cancel says it."""
    if cancel is None or cancel.code not in KINDS:
        return []
    return [read(cancel.code, cancel.detail, node=machine.me, peer=machine.me, since=cancel.at)]


def asks(post: Post, upstream: Upstream) -> WhyAbove:
    """Who asks those above, over the agent's outbox."""

    async def send(to: str, message: Message, expires: int) -> bytes:
        return await post.send(upstream.parent, message, to=to, expires=expires)

    async def on_answer(_peer: str, envelope: Envelope) -> None:
        above.answered(envelope)

    above = WhyAbove(upstream, lambda: upstream.hop.path, send)
    post.on("answer.v1", on_answer)
    return above
