"""The root half: carries out steps of orders that it has proved itself (docs/agent.md, "Two halves").

Rules
- The signed order comes with each question, and is proved each time with the key in root's own folder: the region's,
  for this machine by name, key and generation.  What it says is written down when it is first seen; a later question
  changes nothing of that.
- What was signed of replacing, removing and needing is held against this half's own journal (`guarding.py`).
- What step may follow is `allowed.py`'s; it is written down, synced, before it is begun and when it has ended.
- Of the network half's words only these count: which step, and how the job is going to end.
- What the network half may read are chunks of installed packages by digest, what is installed, and which paths of it
  differ from what was placed.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import msgspec
import structlog

from tiercast_endpoint.halves import allowed, errands, guarding
from tiercast_endpoint.halves.allowed import No, Past
from tiercast_endpoint.halves.borrowed import Borrowed
from tiercast_endpoint.halves.line import Line, Refusal
from tiercast_endpoint.jobs import journal
from tiercast_endpoint.jobs.gate import Gate, share_of
from tiercast_endpoint.jobs.group_windows import read_windows
from tiercast_endpoint.jobs.journal import Job
from tiercast_endpoint.jobs.orders import Accepted, Identity, Refused, Repeated, Seen, judge, open_bundle
from tiercast_endpoint.jobs.run import Performer
from tiercast_endpoint.jobs.story import REMOVE, RUN, Outcome, Plan, Snapshot, Step
from tiercast_endpoint.trees import holdings
from tiercast_endpoint.trees.materials import Limits, Materials
from tiercast_endpoint.trees.root_folder import RootFolder
from tiercast_endpoint.trees.verifying import MOST, Beyond, tree_differences, verified
from tiercast_protocol.content.jobs import power, times
from tiercast_protocol.content.jobs.order import Order
from tiercast_protocol.content.jobs.vouching import windows_of
from tiercast_protocol.content.package import phases
from tiercast_protocol.content.sealed.digest import DIGEST_SIZE
from tiercast_protocol.errors import ChunkMissing, ProtocolError
from tiercast_protocol.node.database import Database
from tiercast_protocol.wire import codec
from tiercast_protocol.wire.messages import OrderBundle

log = structlog.get_logger(__name__)

#: What this half did for each of its jobs.
SCHEMA = "CREATE TABLE past (n INTEGER PRIMARY KEY, past BLOB NOT NULL);"
#: Nothing is waited for here: the network half asks when the machine starts or stops.
_HAPPENED = frozenset({times.START, times.SHUTDOWN})
_MOST_DIGESTS = 4096


class RootHalf:
    """Answers one line at a time.

    Args:
        db: root's own journal.
        me: whose orders count here.
        steps: performs the steps.
        materials: what the steps are made from.
        borrowed: their store, which is led to the present line.
        limits: with the owner's windows.
        now_ms: the clock.
        beyond: compares what an installed package did outside of its tree.
        errands_: does what is asked besides steps.
        root: the install root.
    """

    def __init__(
        self,
        *,
        db: Database,
        me: Identity,
        steps: Performer,
        materials: Materials,
        borrowed: Borrowed,
        limits: Limits,
        now_ms: Callable[[], int],
        beyond: Callable[[Job], Awaitable[Beyond]],
        errands_: errands.Errands,
        root: RootFolder,
    ) -> None:
        self._db, self._beyond, self._errands, self._root = db, beyond, errands_, root
        self._me = me
        self._steps = steps
        self._materials = materials
        self._borrowed = borrowed
        self._limits = limits
        self._clock = now_ms
        #: One step at a time of each package, and of each job without one.
        self._turns: dict[str, asyncio.Lock] = {}

    def attach(self, line: Line | None) -> None:
        """From now on chunks are asked for on this line."""
        self._borrowed.line = line

    async def answer(self, verb: str, args: Mapping[str, Any]) -> Any:
        """One question; raises Refusal."""
        match verb:
            case "perform":
                return await self._perform(args)
            case "known":
                return list(await self._materials.sources.known(_digests(args)))
            case "lengths":
                found = await self._materials.sources.lengths(_digests(args))
                return [[digest, length] for digest, length in found.items()]
            case "read":
                return await self._read(_digests(args)[0])
            case "installed" | "verify" | "inside":
                asked = {"installed": self._shown, "verify": self._compared, "inside": self._inside}[verb]
                return await asked(str(args.get("package", "")))
            case _ if verb in errands.VERBS:
                return await self._errand(verb, args)
            case _:
                raise Refusal("half.question", f"There is no {verb!r} here.")

    async def _read(self, digest: bytes) -> bytes | None:
        with suppress(ChunkMissing):
            return await self._materials.sources.read(digest)
        return None

    # -- a step ----------------------------------------------------------------------------------------

    async def _perform(self, args: Mapping[str, Any]) -> dict[str, Any]:
        bundle, order, step, outcome = self._proved(args)
        # Whoever asks twice at the same time waits: between looking at what was done and doing it nobody comes in.
        async with self._turns.setdefault(order.package or order.job, asyncio.Lock()):
            return await self._next_step(bundle, order, step, outcome, args)

    async def _next_step(
        self, bundle: OrderBundle, order: Order, step: Step, outcome: Outcome | None, args: Mapping[str, Any]
    ) -> dict[str, Any]:
        vouched = windows_of(bundle.targets, self._me.name)
        job, past = await self._db.write(lambda connection: self._enter(connection, order, vouched))
        job = await self._moved_on(job, args.get("further"))
        if step in allowed.BEGINNING and phases.step_of(job.options) == job.ordered == phases.PREPARE:
            raise Refusal("half.phase", "The order to commit is missing.")
        after = allowed.begin(past, step, tries=times.read(job.options).installation.most)
        if step in allowed.BEGINNING and not isinstance(after, No):
            after = await self._guarded(job, step, after, args.get("beside")) or after
        if isinstance(after, No):
            log.warning("refused", job=job.job, step=step, code=after.code, detail=after.detail)
            raise Refusal(after.code, after.detail)
        if step in allowed.BEGINNING and not past.begun:
            after = replace(after, begun=await self._begins(job))
        snapshot = Snapshot(job.snapshot.type, step, after.plan, outcome=outcome, begun=after.begun, phase=job.ordered)
        job = replace(job, snapshot=snapshot, started=job.started or after.begun)
        await self._db.write(lambda connection: _note(connection, job, after))
        log.info("step", job=job.job, package=job.package, step=step)
        done, event = await self._steps.perform(job, step, partial(self._tell, job.job))
        ended = allowed.end(after, event)
        if ended.over:
            done = replace(done, finished=self._clock())
        await self._db.write(lambda connection: _note(connection, done, ended))
        return {
            "event": [type(event).__name__, asdict(event)],
            "job": {name: getattr(done, name) for name in ("running", "tree", "made", "previous")},
            "programs": msgspec.to_builtins(done.programs),
            "actions": msgspec.to_builtins(done.actions),
            "installed": await self._shown(job.package),
        }

    async def _guarded(self, job: Job, step: Step, after: Past, beside: Any) -> No | None:
        """What the signed rules have against it; `beside` are signed orders to remove others as well."""
        for one in beside if isinstance(beside, list) and job.type == REMOVE else ():
            # what does not count is passed over: then the package is needed still
            with suppress(Refusal):
                bundle, order, _, _ = self._proved({"bundle": one, "step": Step.WAIT})
                if order.type == REMOVE:
                    vouched = windows_of(bundle.targets, self._me.name)
                    await self._db.write(partial(self._enter, order=order, vouched=vouched))
        planned = replace(job, snapshot=Snapshot(job.snapshot.type, step, after.plan))
        return await self._db.read(lambda connection: guarding.against(connection, planned, now=self._clock()))

    async def _errand(self, verb: str, args: Mapping[str, Any]) -> Any:
        """What is done for a job besides its steps, by its proved order."""
        bundle, order, _, _ = self._proved({**args, "step": Step.WAIT})
        vouched = windows_of(bundle.targets, self._me.name)
        job, past = await self._db.write(lambda connection: self._enter(connection, order, vouched))
        return await self._errands.run(verb, job, past)

    def _proved(self, args: Mapping[str, Any]) -> tuple[OrderBundle, Order, Step, Outcome | None]:
        try:
            raw, said = args["bundle"], args.get("outcome")
            if not isinstance(raw, bytes):
                raise Refusal("half.question", "The order is missing.")
            bundle = codec.decode(raw, OrderBundle)
            order = open_bundle(bundle, self._me)
            step = Step(args["step"])
            outcome = Outcome(*map(str, said)) if isinstance(said, list) else None
        except ProtocolError as error:
            log.warning("refused", code="half.order-invalid", reason=str(error))
            raise Refusal("half.order-invalid", f"The root half does not take the order: {error}.") from error
        except (KeyError, ValueError, TypeError) as error:
            raise Refusal("half.question", f"The question can't be read: {error}.") from error
        return bundle, order, step, outcome

    def _enter(self, connection: sqlite3.Connection, order: Order, vouched: Mapping[str, str]) -> tuple[Job, Past]:
        """What is known of the job; a new order is judged as at the network half, by this half's own memory."""
        seen = Seen(
            journal.counter(connection, journal.EPOCH),
            journal.counter(connection, journal.TIME),
            journal.newest_revision(connection, order.job),
        )
        verdict = judge(order, seen, now_ms=self._clock())
        if isinstance(verdict, Refused):
            raise Refusal(verdict.outcome.code, verdict.outcome.detail)
        if isinstance(verdict, Accepted):
            _prune(connection, self._clock())
            journal.raise_counter(connection, journal.EPOCH, order.epoch)
            journal.raise_counter(connection, journal.TIME, order.issued)
            job = journal.add_job(connection, self._row(order, vouched))
            again = order.type in power.TYPES or bool(order.options.get("idempotent"))
            past = Past(order.type, Plan(before=again) if order.type in {RUN, *power.TYPES} else Plan())
            _save(connection, job.n, past)
            return job, past
        known = journal.job_at(connection, order.job, order.revision)
        if known is None or not (isinstance(verdict, Repeated) or known.answers):
            raise Refusal("half.stale", "A later revision of the job was here before.")
        if (known.type, known.root, known.expires) != (order.type, order.root, order.expires):
            raise Refusal("half.order-invalid", "Another order was here under this job and revision.")
        (kept,) = connection.execute("SELECT past FROM past WHERE n=?", (known.n,)).fetchone()
        return known, msgspec.msgpack.decode(kept, type=Past)

    async def _moved_on(self, job: Job, further: Any) -> Job:
        """The job, and how far an order of a later revision lets it go; proved as the first one."""
        step = phases.further(phases.step_of(job.options), job.ordered)
        if step and isinstance(further, bytes):
            _, order, _, _ = self._proved({"bundle": further, "step": Step.WAIT})
            same = (order.job, order.type, order.root) == (job.job, job.type, job.root)
            if not same or order.revision <= job.revision:
                raise Refusal("half.order-invalid", "The order to go further is of another job.")
            revision, step = max(order.revision, job.answers), phases.further(step, phases.step_of(order.options))
            await self._db.write(lambda connection: journal.set_ordered(connection, job.n, revision, step))
        return replace(job, ordered=step)

    def _row(self, order: Order, vouched: Mapping[str, str]) -> Job:
        return Job(
            *(order.job, order.revision, order.type, order.package, order.version, order.package_revision),
            *(order.root, order.issued, order.expires, "", "ordered", self._clock()),
            snapshot=Snapshot(order.type),
            options={**order.options, **vouched},
        )

    async def _begins(self, job: Job) -> int:
        """When the installation begins: now, if it may.  Raises Refusal."""
        signed = await self._db.read(lambda connection: journal.counter(connection, journal.TIME))
        now = max(self._clock(), signed)
        if job.expires <= now:
            raise Refusal("order.expired", "The order's time passed before it could be carried out.")
        windows, groups = (self._limits.windows, read_windows(job.options)) if job.package else ((), ())
        gate = Gate(times.read(job.options), job.issued, share_of(self._me.name), machine=windows, groups=tuple(groups))
        if (reason := gate.before_installation(now, _HAPPENED)) is not None:
            raise Refusal(reason.code, "It is not its time, by the root half's clock and settings.")
        return now

    def _tell(self, job: str, done: int, total: int) -> None:
        if (line := self._borrowed.line) is not None:
            line.say("progress", job=job, done=done, total=total)

    async def _compared(self, package: str) -> Any:
        """How what the installed package did outside of its tree stands, as plain data."""
        known = await self._db.read(lambda connection: holdings.installed(connection, package))
        if not package or not known:
            return [[], 0, []]
        one = known[0]
        found = await self._beyond(verified(one))
        return [[list(each) for each in found.differences[:MOST]], found.count, found.unseen[:MOST]]

    async def _inside(self, package: str) -> Any:
        """How the tree of the installed package stands, as plain data; this half may read all of it."""
        known = await self._db.read(lambda connection: holdings.installed(connection, package))
        if not package or not known:
            return [[("", "the root half has not installed it")], 0]
        differences, count = await tree_differences(self._root, self._materials, known[0])
        return [[list(each) for each in differences], count]

    async def _shown(self, package: str) -> Any:
        """What is installed of the package ("": of all), as plain data."""
        installed = await self._db.read(lambda connection: holdings.installed(connection, package))
        trees = await self._db.read(lambda connection: holdings.trees(connection, package))
        return {"installed": [asdict(one) for one in installed], "trees": [asdict(one) for one in trees]}


def _digests(args: Mapping[str, Any]) -> list[bytes]:
    found = args.get("digests")
    if not isinstance(found, list) or len(found) > _MOST_DIGESTS:
        raise Refusal("half.question", "Digests are missing, or too many.")
    if not found or not all(isinstance(one, bytes) and len(one) == DIGEST_SIZE for one in found):
        raise Refusal("half.question", "These are no digests.")
    return found


def _note(connection: sqlite3.Connection, job: Job, past: Past) -> None:
    journal.save_step(connection, job)
    _save(connection, job.n, past)
    if job.finished:
        connection.execute("UPDATE job SET finished=?, reported=1 WHERE n=?", (job.finished, job.n))


def _save(connection: sqlite3.Connection, n: int, past: Past) -> None:
    connection.execute("INSERT OR REPLACE INTO past VALUES (?, ?)", (n, msgspec.msgpack.encode(past)))


def _prune(connection: sqlite3.Connection, now_ms: int) -> None:
    """Forget what could do no harm for long, ended or not."""
    connection.execute(
        "DELETE FROM job WHERE expires<? AND job NOT IN (SELECT job FROM installed)", (now_ms - journal.KEEP_MS,)
    )
    connection.execute("DELETE FROM past WHERE n NOT IN (SELECT n FROM job)")
