"""What is installed, compared with what was sealed: verify, and the plan of a repair (docs/transactions.md).

Rules
- Every file by its digest, every mode, link and folder, and what does not belong there; nothing is followed or changed.
- What the package's actions did outside of its tree is compared by whoever did it (`Beyond`), the root half where there
  is one; what nobody can compare, such as what a program did, is named and counts for nothing.
- A tree that differs is remembered until another one stands in its place: meanwhile the machine does not say that it
  has the package, so that the region's desired state counts it as missing.
- A repair is an installation of what is installed already: a tree is made beside the one that differs, of what is whole
  and of fetched chunks, and switched; what was placed and differs is placed again.  It runs no program of the package.
- Every other step is handed on: this is a performer around another.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from tiercast_endpoint.jobs.events import Event, StepDone, StepFailed
from tiercast_endpoint.jobs.faults import translated
from tiercast_endpoint.jobs.journal import Job
from tiercast_endpoint.jobs.run import Performer
from tiercast_endpoint.jobs.story import Step
from tiercast_endpoint.threads import in_thread
from tiercast_endpoint.trees import checked, holdings
from tiercast_endpoint.trees.holdings import Installed
from tiercast_endpoint.trees.materials import Failed, Materials, Progress
from tiercast_endpoint.trees.root_folder import RootFolder
from tiercast_protocol.content.jobs.jobtypes import REPAIR
from tiercast_protocol.errors import UsageError
from tiercast_protocol.node.control.verbs import Call, Verbs
from tiercast_protocol.node.database import Database


@dataclass(frozen=True, slots=True)
class Beyond:
    """How what a package did outside of its tree stands.

    Attributes:
        differences: (path or action, in what it differs).
        count: paths and things that were compared.
        unseen: actions that nobody can compare.
    """

    differences: list[tuple[str, str]] = field(default_factory=list)
    count: int = 0
    unseen: list[str] = field(default_factory=list)


#: Differences that are told of one package, and that stand in a receipt.
MOST, _SAID = 100, 5
Inside = Callable[[Installed], Awaitable[tuple[list[tuple[str, str]], int]]]


class Verifying:
    """Verifies what is installed, and has `steps` perform all other steps.

    Args:
        db: the agent's journal.
        root: the install root.
        materials: the manifests of what is installed.
        steps: performs the other steps.
        beyond: compares what an installed package did outside of its tree.
        changed: called when what the machine has to say of its packages may be another.
        inside: compares an installed tree where that is another half's: this one may not read all of it.
    """

    def __init__(
        self,
        *,
        db: Database,
        root: RootFolder,
        materials: Materials,
        steps: Performer,
        beyond: Callable[[Job], Awaitable[Beyond]],
        changed: Callable[[], None],
        inside: Inside | None = None,
    ) -> None:
        self._db, self._root, self._materials, self._steps, self._changed = db, root, materials, steps, changed
        self._beyond = beyond
        self._inside = inside or partial(tree_differences, root, materials)

    async def perform(self, job: Job, step: Step, tell: Progress) -> tuple[Job, Event]:
        """Perform `step` of `job`."""
        if step is Step.VERIFY:
            return await translated(job, step, lambda: self._verify(job, step), self._materials.free)
        if step is Step.PLAN and job.type == REPAIR:
            return await translated(job, step, lambda: self._plan(job, step, tell), self._materials.free)
        return await self._steps.perform(job, step, tell)

    async def look(self, package: str = "") -> list[dict[str, Any]]:
        """Each installed package, or the one that is named: {package, version, whole, files, differences, unseen}.

        Raises:
            UsageError: package.not-installed.
        """
        found = await self._db.read(lambda connection: holdings.installed(connection, package))
        if package and not found:
            raise UsageError(
                code="package.not-installed",
                what=f"{package} is not installed here.",
                todo="tiercast-endpoint packages shows what is.",
            )
        return [await self._compare(one) for one in found]

    def register(self, verbs: Verbs) -> None:
        """Put `verify` into `verbs`."""

        async def verify(call: Call) -> list[dict[str, Any]]:
            return await self.look(call.text("package", ""))

        verbs.add("verify", "viewer", verify)

    # -- steps -----------------------------------------------------------------------------------------

    async def _verify(self, job: Job, step: Step) -> tuple[Job, Event]:
        one = await self._installed(job)
        if one.root != job.root and not job.options.get("any_version"):
            raise Failed("verify.absent", f"{job.version} is not installed here; {one.version} is.")
        said = await self._compare(one)
        if said["whole"]:
            unseen = f" Not compared: {', '.join(said['unseen'])}." if said["unseen"] else ""
            detail = f"{one.package} {one.version}: {said['files']:,} paths as sealed.{unseen}"
            return job, StepDone(step, detail=detail)
        return job, StepFailed(step, "verify.differs", f"{one.package} {one.version}: {words(said['differences'])}.")

    async def _plan(self, job: Job, step: Step, tell: Progress) -> tuple[Job, Event]:
        one = await self._installed(job)
        if one.root != job.root:
            raise Failed("verify.absent", f"{job.version} is not installed here; {one.version} is.")
        return await self._steps.perform(job, step, tell)

    async def _installed(self, job: Job) -> Installed:
        found = await self._db.read(lambda connection: holdings.installed(connection, job.package))
        if not found:
            raise Failed("verify.absent", f"{job.package} is not installed here.")
        return found[0]

    async def _compare(self, one: Installed) -> dict[str, Any]:
        job = verified(one)
        found, paths = await self._inside(one)
        beyond = await self._beyond(job)
        found = [*found, *beyond.differences][:MOST]
        await self._remember(one, found)
        differences = [{"path": path, "what": what} for path, what in found]
        shown = {"package": one.package, "version": one.version, "tree": one.tree, "whole": not found}
        return {**shown, "files": paths + beyond.count, "differences": differences, "unseen": beyond.unseen}

    async def _remember(self, one: Installed, found: list[tuple[str, str]]) -> None:
        if await self._db.write(lambda connection: holdings.set_differs(connection, one.tree, differs=bool(found))):
            self._changed()


async def tree_differences(root: RootFolder, materials: Materials, one: Installed) -> tuple[list[tuple[str, str]], int]:
    """What of an installed tree is not as it was sealed, the first `MOST` of it, and how many paths were compared."""
    job = verified(one)
    current = await in_thread(root.current, one.package)
    if current != one.tree:
        return [("", "the name leads elsewhere" if current else "the name is gone")], 0
    if not await in_thread(root.exists, one.tree):
        return [("", "the tree is gone")], 0
    entries, modes = materials.entries(job), await materials.modes(job)
    return await checked.differences(root.path / one.tree, entries, modes=modes, most=MOST)


def verified(one: Installed) -> Job:
    """An installed package as a job that looks at it."""
    said = (one.package, one.version, one.revision, one.root)
    return Job("verify", 1, "verify", *said, 1, 1, "", "running", one.at, tree=one.tree)


def words(differences: list[dict[str, str]]) -> str:
    """The first differences, as people read them."""
    said = [f"{one['path']!r} {one['what']}" if one["path"] else one["what"] for one in differences[:_SAID]]
    more = len(differences) - len(said)
    return ", ".join(said) + (
        f" and {more} more" + (" at least" if len(differences) >= MOST else "") if more > 0 else ""
    )


def without_programs(job: Job, event: Event) -> Event:
    """A plan with nothing of the package to run, where the job repairs what is installed."""
    if job.type != REPAIR or not isinstance(event, StepDone) or event.plan is None:
        return event
    return replace(event, plan=replace(event.plan, before=None, after=None, confirm=False, reboot="", actions=False))
