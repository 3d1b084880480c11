"""What each step of a job does: the installer's hands (docs/on-the-endpoint.md).

Rules
- One public coroutine, `perform`; it returns the job's new row and the machine's event, and never decides what follows.
- Every step may be performed again after a crash.
- Errors of the disk, the package and the stores become `StepFailed` with a stable code; anything else is a bug
  of ours, is logged, and fails the job with the code `agent.bug`, for a job must end.
- The manifest of what is installed (root and lists) stays in the store; data chunks go when the tree stands.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable
from dataclasses import replace

import structlog

from tiercast_endpoint.jobs import former, journal, programs
from tiercast_endpoint.jobs.becoming import command_as
from tiercast_endpoint.jobs.faults import translated
from tiercast_endpoint.jobs.gate import Gate
from tiercast_endpoint.jobs.install import Event, Plan, Step, StepDone, StepFailed
from tiercast_endpoint.jobs.journal import Job
from tiercast_endpoint.threads import in_thread
from tiercast_endpoint.trees import holdings
from tiercast_endpoint.trees.ahead import Ahead
from tiercast_endpoint.trees.assemble import Assembler
from tiercast_endpoint.trees.materials import Failed, Limits, Materials, Progress
from tiercast_endpoint.trees.partial import staging_of
from tiercast_endpoint.trees.root_folder import RootFolder
from tiercast_endpoint.trees.tree import TreeError
from tiercast_endpoint.trees.verifying import without_programs
from tiercast_protocol.content.jobs import times
from tiercast_protocol.content.package import phases, reboots
from tiercast_protocol.content.package.variables import fill
from tiercast_protocol.node.database import Database

log = structlog.get_logger(__name__)


class Steps:
    """Performs steps on one install root.

    Args:
        db: the agent's journal.
        root: the install root, open.
        materials: manifests and chunks.
        limits: see `Limits`.
        now_ms: the clock.
    """

    def __init__(
        self,
        *,
        db: Database,
        root: RootFolder,
        materials: Materials,
        limits: Limits,
        now_ms: Callable[[], int],
    ) -> None:
        self._db = db
        self._root = root
        self._materials = materials
        self._limits = limits
        self._now_ms = now_ms
        self._ahead = Ahead()
        #: One job may settle while another one of its package prepares: no tree goes between being found and claimed.
        self._claims = asyncio.Lock()
        self._doing = {
            Step.PLAN: self._plan,
            Step.FETCH: self._fetch,
            Step.ASSEMBLE: self._assemble,
            Step.BEFORE: self._run,
            Step.SWITCH: self._switch,
            Step.AFTER: self._run,
            Step.ENTER: self._enter,
            Step.UNDO: self._undo,
            Step.SETTLE: self._settle,
            Step.DISCARD: self._discard,
            Step.UNLINK: self._unlink,
            Step.DELETE: self._delete,
        }

    async def perform(self, job: Job, step: Step, tell: Progress) -> tuple[Job, Event]:
        """Perform `step` of `job`."""
        return await translated(job, step, lambda: self._doing[step](job, step, tell), self._root.free)

    # -- towards a tree that stands ------------------------------------------------------------------

    async def _plan(self, job: Job, step: Step, tell: Progress) -> tuple[Job, Event]:
        tell(0, 0)
        await in_thread(self._root.current, job.package)  # a foreign path is told before anything is fetched
        taken = await self._materials.selection(job, afresh=True)
        head, definition = taken.root, taken.definition
        # Every later step reads the manifest: a crash must not send one of them back to the network.
        await self._materials.store.sync()
        found = Plan(
            before=definition.run_before.idempotent if definition.run_before else None,
            after=definition.run_after.idempotent if definition.run_after else None,
            condition=definition.condition,
            requires=", ".join(definition.requires),
            conflicts=", ".join(definition.conflicts),
            ahead=", ".join(definition.before),
            confirm=definition.confirm is not None,
            reboot=reboots.mode_of(job.options, definition.reboot),
            order=definition.version_order,
            replace=definition.replace,
        )
        current = await in_thread(self._root.current, job.package)
        standing = await self._materials.standing(job, current)
        if standing is not None and await self._claim(job, standing):
            plan = replace(found, ready=True, current=standing == current)
            return replace(job, tree=standing, made=False), without_programs(job, StepDone(step, plan))
        await self._materials.check_space(head, job)
        return job, without_programs(job, StepDone(step, found))

    async def _claim(self, job: Job, tree: str) -> bool:
        """From now on nobody else takes the standing tree away; whether it still stands."""
        async with self._claims:
            await self._db.write(lambda connection: journal.set_tree(connection, job.n, tree, made=False))
            return await in_thread(self._root.exists, tree)

    async def _fetch(self, job: Job, step: Step, tell: Progress) -> tuple[Job, Event]:
        materials = self._materials
        await self._ahead.beside(
            job.n,
            lambda: self._begin_tree(job),
            materials.at_hand,
            lambda progress, asked: materials.fetch(job, progress, asked),
            tell,
        )
        # "Staged" is a promise: all of it lies on the disk, verified and synced.
        await materials.sync()
        return job, StepDone(step)

    async def _begin_tree(self, job: Job) -> Assembler:
        materials = self._materials
        head, definition = await materials.head(job)
        folder, claimed = await materials.partial.open(job, files=head.files, size=head.size)
        assembler = Assembler(
            folder,
            materials.raw,
            read_many=materials.store.raw_many,
            reading=materials.store.reading,
            placing=materials.placing,
            name=staging_of(job),
            modes=await materials.modes(job),
            case_collisions=definition.allow_case_collisions,
        )
        try:
            await assembler.begin(
                head,
                materials.entries(job),
                again=materials.entries(job),
                claimed=claimed,
            )
        except (TreeError, OSError) as error:
            if not claimed:
                raise
            log.warning("what was left of a tree is of no use", job=job.job, reason=str(error))
            await materials.partial.drop(staging_of(job))
            return await self._begin_tree(job)
        return assembler

    async def _assemble(self, job: Job, step: Step, tell: Progress) -> tuple[Job, Event]:
        head, _ = await self._materials.head(job)
        assembler = self._ahead.take(job.n) or await self._begin_tree(job)
        assembler.tell_to(lambda written: tell(written, head.size))
        try:
            await assembler.end()
        finally:
            await assembler.close()
        tree = await in_thread(self._root.adopt, job.key, job.package, job.root)

        def stands(connection: sqlite3.Connection) -> None:
            holdings.move_tree(connection, staging_of(job), tree, whole=True)
            journal.set_tree(connection, job.n, tree)

        await self._db.write(stands)
        return replace(job, tree=tree, made=True), StepDone(step)

    # -- programs --------------------------------------------------------------------------------------

    async def _run(self, job: Job, step: Step, tell: Progress) -> tuple[Job, Event]:
        tell(0, 0)
        taken = await self._materials.selection(job)
        definition = taken.definition
        program = definition.run_before if step is Step.BEFORE else definition.run_after
        which = "run-before" if step is Step.BEFORE else "run-after"
        if program is None:
            return job, StepDone(step)
        if job.running:
            # An earlier life started it and it still runs: two at once is what nobody declares itself safe for.
            await in_thread(programs.kill_leftover, job.running)
        tree = self._root.path / job.tree
        gate = Gate(times.read(job.options), machine=self._limits.windows)
        allowed = gate.allowed(program.timeout_s, begun=job.snapshot.begun, now=self._now_ms())
        if allowed.timeout_s <= 0:
            raise Failed(allowed.code, f"{which} was not started: {allowed.detail}.")
        try:
            path = await in_thread(programs.executable, program.argv[0], tree)
            ran = await programs.run_program(
                command_as(None, path, [fill(one, taken.values) for one in program.argv[1:]]),
                cwd=tree,
                env=programs.environment(package=job.package, version=job.version, job=job.job, tree=tree),
                timeout_s=allowed.timeout_s,
                grace_s=allowed.grace_s,
                output_limit=program.output_limit,
                on_started=lambda pid: self._started(job, pid),
                gated=True,
            )
        except OSError as error:
            raise Failed("program.start", f"{which} could not be started: {error.strerror}.") from error
        job = replace(job, running="", programs=(*job.programs, ran.result(program.argv)))
        if ran.ok:
            return job, StepDone(step)
        if ran.timed_out:
            return job, StepFailed(
                step, allowed.code, f"{which} was killed after {ran.seconds:.0f} s: {allowed.detail}."
            )
        how = f"was ended by signal {-ran.exit}" if ran.exit < 0 else f"ended with status {ran.exit}"
        return job, StepFailed(step, "program.failed", f"{which} {how}.")

    async def _started(self, job: Job, pid: int) -> None:
        identity = programs.identity_of(pid)
        await self._db.write(lambda connection: journal.set_running(connection, job.n, identity))

    # -- the name --------------------------------------------------------------------------------------

    async def _switch(self, job: Job, step: Step, _tell: Progress) -> tuple[Job, Event]:
        if job.previous is None:
            job = replace(job, previous=await in_thread(self._root.current, job.package) or "")
            # Written down before the rename: it is what an undo goes back to.
            await self._db.write(lambda connection: journal.set_previous(connection, job.n, job.previous or ""))
        if not await in_thread(self._root.exists, job.tree):
            raise Failed("tree.gone", "The assembled tree is gone from the install root.")
        await in_thread(self._root.switch, job.package, job.tree)
        return job, StepDone(step)

    async def _enter(self, job: Job, step: Step, _tell: Progress) -> tuple[Job, Event]:
        row = self._row_of(job, job.previous or "")
        await self._db.write(lambda connection: former.enter(connection, job.n, row))
        return job, StepDone(step)

    async def _undo(self, job: Job, step: Step, _tell: Progress) -> tuple[Job, Event]:
        if job.running:
            await in_thread(programs.kill_leftover, job.running)
        current = await in_thread(self._root.current, job.package) or ""
        # Only who stood committed can find another job's work there; it is not his to take back.
        stood = bool(job.snapshot.phase) or job.snapshot.plan.on_trial
        known = await self._db.read(lambda connection: holdings.installed(connection, job.package))
        stood = stood or any(one.tree == current for one in known)
        superseded = stood and job.previous is not None and current not in {job.tree, job.previous}
        if superseded:
            await self._db.write(lambda connection: former.forget(connection, job.n))
        elif job.previous:
            await in_thread(self._root.switch, job.package, job.previous)
        elif job.previous is not None:
            await in_thread(self._root.unlink, job.package)

        # Another try finds what the name leads to by then.
        def undone(connection: sqlite3.Connection) -> None:
            journal.set_previous(connection, job.n, None)
            former.put_back(connection, job.n, job.package)

        await self._db.write(undone)
        return replace(job, running="", previous=None), StepDone(step, superseded=superseded)

    async def _settle(self, job: Job, step: Step, _tell: Progress) -> tuple[Job, Event]:
        accepted = job.snapshot.phase == phases.ACCEPT
        stood = accepted or job.snapshot.plan.on_trial
        superseded = stood and await in_thread(self._root.current, job.package) != job.tree
        if superseded:
            known = await self._db.read(lambda connection: holdings.installed(connection, job.package))
            keep = {tree for one in known for tree in (one.tree, one.previous)}
        else:
            # Accepted is: for good.  The depot above still has what was there before.
            previous = "" if accepted else await self._kept_for_undo(job)
            keep = {job.tree, previous}
            row = self._row_of(job, previous)
            await self._db.write(lambda connection: holdings.set_installed(connection, row))
            if job.made:
                await self._materials.sources.index(job.tree, self._materials.entries(job))
        await self._db.write(lambda connection: former.forget(connection, job.n))
        await self._drop_trees(job, keep=keep)
        if not superseded:
            await self._materials.partial.drop_of(job.package)
        await self._materials.evict_of(job)
        return job, StepDone(step, superseded=superseded)

    def _row_of(self, job: Job, previous: str) -> holdings.Installed:
        return holdings.Installed(
            *(job.package, job.version, job.package_revision, job.root, job.tree, previous, job.job, self._now_ms())
        )

    async def _kept_for_undo(self, job: Job) -> str:
        """The one older tree that stays: what the name led to before, unless that was a damaged copy of this one."""
        previous = job.previous or ""
        known = await self._db.read(lambda connection: holdings.trees(connection, job.package))
        if any(tree.tree == previous and tree.root == job.root for tree in known):
            was = await self._db.read(lambda connection: holdings.installed(connection, job.package))
            previous = was[0].previous if was else ""
        if not self._limits.keep_previous or previous == job.tree or not self._root.exists(previous):
            return ""
        return previous

    async def _discard(self, job: Job, step: Step, _tell: Progress) -> tuple[Job, Event]:
        if job.running:
            await in_thread(programs.kill_leftover, job.running)
        await self._ahead.drop(job.n)
        outcome = job.snapshot.outcome
        failed = outcome is not None and outcome.state not in {"done", "cancelled", "expired"}
        known = await self._db.read(lambda connection: holdings.installed(connection, job.package))
        standing = {t for i in known for t in (i.tree, i.previous)}
        if failed:
            # What failed may be ordered again: its chunks stay, stored or placed, until somebody needs their room.
            async with self._claims:
                others = await self._db.read(lambda c: journal.trees_of_others(c, job.package, job.n))
                mine = job if job.tree not in standing | others else replace(job, tree="")
                await self._materials.partial.leave(mine)
        else:
            await self._materials.partial.drop(staging_of(job))
        await self._drop_trees(job, keep=standing)
        if not failed:
            await self._materials.evict_of(job)
        return replace(job, running=""), StepDone(step)

    async def _unlink(self, job: Job, step: Step, _tell: Progress) -> tuple[Job, Event]:
        was = await self._db.read(lambda connection: holdings.installed(connection, job.package))
        if await in_thread(self._root.unlink, job.package) or was:
            return job, StepDone(step)
        return job, StepDone(step, code="absent", detail="It was not installed.")

    async def _delete(self, job: Job, step: Step, _tell: Progress) -> tuple[Job, Event]:
        await self._db.write(lambda connection: holdings.unset_installed(connection, job.package))
        await self._drop_trees(job, keep=set())
        await self._materials.evict_unneeded()
        return job, StepDone(step)

    # -- what several steps need -----------------------------------------------------------------------

    async def _drop_trees(self, job: Job, keep: set[str]) -> None:
        """Delete the package's trees but those in `keep`, what its name leads to, and what other jobs prepared."""
        package = job.package
        async with self._claims:
            current = await in_thread(self._root.current, package)
            others = await self._db.read(lambda connection: journal.trees_of_others(connection, package, job.n))
            for tree in await self._db.read(lambda connection: holdings.trees(connection, package)):
                if tree.tree in keep | others or tree.tree == current:
                    continue
                await self._db.write(lambda connection, tree=tree: holdings.remove_tree(connection, tree.tree))  # type: ignore[misc]
                await in_thread(self._root.delete_tree, tree.tree)


def same_file_system(a: os.PathLike[str], b: os.PathLike[str]) -> bool:
    """Whether two folders share their free space."""
    return os.stat(a).st_dev == os.stat(b).st_dev  # noqa: PTH116 - any path-like
