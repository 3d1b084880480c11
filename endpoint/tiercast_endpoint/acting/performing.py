"""The steps of a job that concern its package's ordered actions; every other step is handed on.

Rules
- `apply` and `revert` are the engine's; a removal's `take` is the course to a version without actions, which goes back
  by itself where one of them can't be taken back: the package stands as before.
- What was done is accepted, for good, when the job settles, or when a removal's trees are deleted.
- The plan says whether there is anything to do: a package without actions has none of these steps.  A version whose
  tree stands, but not all that its actions did, is installed again; a repair only places what differs again.
- Whatever goes wrong, with the disk or with us, ends the step with a code; it never ends the agent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import structlog

from tiercast_endpoint.acting.engine import Done, Engine
from tiercast_endpoint.acting.native import Tools
from tiercast_endpoint.acting.prefix import ActError, Prefix
from tiercast_endpoint.jobs.install import Event, Step, StepDone, StepFailed
from tiercast_endpoint.jobs.journal import Job
from tiercast_endpoint.jobs.run import Performer
from tiercast_endpoint.jobs.story import Plan
from tiercast_endpoint.threads import in_thread
from tiercast_endpoint.trees import holdings
from tiercast_endpoint.trees.materials import Materials
from tiercast_endpoint.trees.root_folder import RootFolder
from tiercast_endpoint.trees.verifying import Beyond
from tiercast_protocol.content.jobs.jobtypes import REPAIR
from tiercast_protocol.content.package.actionfill import filled
from tiercast_protocol.content.package.actiontypes import Action
from tiercast_protocol.content.package.definition import parse_definition
from tiercast_protocol.content.package.handler import Handler
from tiercast_protocol.errors import StoreFull, TiercastError
from tiercast_protocol.node import fetch
from tiercast_protocol.node.database import Database
from tiercast_protocol.node.files import ROOM_AGAIN_S, is_full

log = structlog.get_logger(__name__)

Progress = Callable[[int, int], None]


class _Trees:
    """The install root, as the engine sees it."""

    def __init__(self, db: Database, root: RootFolder, materials: Materials) -> None:
        self._db, self._root, self._materials = db, root, materials

    def place(self, tree: str) -> Path:
        """The folder of a tree."""
        return self._root.path / tree

    def link(self, package: str) -> Path:
        """The name that leads to the package's tree."""
        return self._root.path / package

    async def handler(self, package: str) -> tuple[Handler, Path]:
        """An installed handler and its tree."""
        known = await self._db.read(lambda connection: holdings.installed(connection, package))
        if not known:
            raise ActError("handler.absent", f"the handler {package!r} is not installed here; install it first")
        head = await fetch.read_root(known[0].root, self._materials.store)
        definition = parse_definition(head.definition, f"{head.name}={head.version}")
        if definition.handler is None:
            raise ActError("handler.none", f"the package {package!r} is no handler: it has no [handler]")
        return definition.handler, self.place(known[0].tree)


class Acting:
    """Performs those steps, and has `steps` perform all others.

    Args:
        db: the agent's journal.
        root: the install root.
        materials: manifests.
        steps: performs the other steps.
        prefix: below this files are placed.
        keep: the agent's own folder for what stood there before.
        tools: the programs of the machine.
    """

    def __init__(
        self,
        *,
        db: Database,
        root: RootFolder,
        materials: Materials,
        steps: Performer,
        prefix: Path,
        keep: Path,
        tools: Tools | None = None,
    ) -> None:
        self._steps, self._materials, self._root = steps, materials, root
        trees = _Trees(db, root, materials)
        self.engine = Engine(db=db, prefix=Prefix(prefix), keep=keep, trees=trees, tools=tools)

    async def perform(self, job: Job, step: Step, tell: Progress) -> tuple[Job, Event]:
        """Perform `step` of `job`."""
        if step in {Step.APPLY, Step.REVERT, Step.TAKE}:
            return await self._perform(job, step)
        if step in {Step.SETTLE, Step.DELETE}:
            await self.engine.accept(job)
        if step is Step.SETTLE and await in_thread(self._root.current, job.package) == job.tree:
            # Older trees go now, also the one of the same version that a repair replaced.
            await self.engine.moved(job.package, job.tree)
        done, event = await self._steps.perform(job, step, tell)
        if step is Step.PLAN and isinstance(event, StepDone) and event.plan is not None:
            try:
                return done, await self._planned(done, event, event.plan)
            except Exception as error:  # noqa: BLE001 - a job must end, whatever is wrong with us
                return done, _failure(step, error, done)
        if step is Step.UNLINK and isinstance(event, StepFailed):
            return await self._taken_back(done, event)
        return done, event

    async def beyond(self, job: Job) -> Beyond:
        """How what the installed version did outside of its tree stands."""
        found = await self.engine.compare(job)
        return Beyond(found.differences, found.count, found.unseen)

    async def _planned(self, job: Job, event: StepDone, plan: Plan) -> Event:
        """The plan, with what there is to do outside of the tree."""
        repairs, stands = job.type == REPAIR, await self.engine.stands(job.package)
        if plan.current and stands:
            # The tree is whole and switched: whether there is anything to do is what else of the version stands.
            compared = await self.engine.compare(job, job.tree)
            if not compared.differences:
                return event
            if repairs and not compared.placed:
                path, what = compared.differences[0]
                detail = f"{path} {what}: what an installer did is not repaired; install the version again."
                return StepFailed(Step.PLAN, "verify.differs", detail)
            plan = replace(plan, current=False)
        if plan.current:
            return event
        _, definition = await self._materials.head(job)
        # A repair has what was placed stand again, and does nothing else of the package.
        return replace(event, plan=replace(plan, actions=stands or (bool(definition.action) and not repairs)))

    async def _perform(self, job: Job, step: Step) -> tuple[Job, Event]:
        done = Done()
        try:
            if step is Step.REVERT and await self._superseded(job):
                # What another job did since is not this one's to take back.
                await self.engine.accept(job)
                return job, StepDone(step)
            if step is Step.APPLY and job.type == REPAIR:
                await self.engine.mend(job, done)
                return _with(job, done), StepDone(step)
            if step is Step.REVERT:
                failed = await self.engine.revert(job, done)
                event: Event = StepFailed(step, "undo.failed", " ".join(failed)) if failed else StepDone(step)
                return _with(job, done), event
            actions: tuple[Action, ...] = ()
            if step is Step.APPLY:
                taken = await self._materials.selection(job)
                actions = tuple(filled(one, taken.values) for one in taken.definition.action)
            await self.engine.apply(job, actions, done)
        except Exception as error:  # noqa: BLE001 - a job must end, whatever is wrong with us
            failure = _failure(step, error, job)
            return (
                await self._taken_back(_with(job, done), failure) if step is Step.TAKE else (_with(job, done), failure)
            )
        return _with(job, done), StepDone(step)

    async def _superseded(self, job: Job) -> bool:
        """Whether another job made its own of the package's name while this one stood committed."""
        stood = bool(job.snapshot.phase) or job.snapshot.plan.confirm
        current = await in_thread(self._root.current, job.package) or ""
        return stood and job.previous is not None and current not in {job.tree, job.previous}

    async def _taken_back(self, job: Job, event: StepFailed) -> tuple[Job, Event]:
        """A removal that can't go on: what was taken stands again."""
        done = Done()
        while True:
            try:
                failed = await self.engine.revert(job, done)
            except Exception as error:  # noqa: BLE001 - as above
                failure = _failure(Step.REVERT, error, job)
                if failure.code == "disk.full":
                    await asyncio.sleep(ROOM_AGAIN_S)
                    continue
                failed = [failure.detail]
            break
        if failed:
            event = replace(event, code="undo.failed", detail=" ".join([event.detail, *failed]))
        return _with(job, done), event


def _with(job: Job, done: Done) -> Job:
    """The job, with what its actions did."""
    return replace(job, running="", programs=(*job.programs, *done.programs), actions=(*job.actions, *done.actions))


def _failure(step: Step, error: Exception, job: Job) -> StepFailed:
    if isinstance(error, ActError):
        return StepFailed(step, error.code, f"{error.detail}.", error.state)
    if isinstance(error, StoreFull) or (isinstance(error, OSError) and is_full(error)):
        return StepFailed(step, "disk.full", "The disk was full while the actions were carried out.")
    if isinstance(error, OSError):
        return StepFailed(step, "disk.error", f"{error.strerror}: {error.filename or ''} ({type(error).__name__})")
    if isinstance(error, TiercastError):
        return StepFailed(step, "package.invalid", str(error))
    log.error("step failed", step=step, job=job.job, exc_info=error)
    return StepFailed(step, "agent.bug", f"The agent failed ({type(error).__name__}); its log has the details.")
