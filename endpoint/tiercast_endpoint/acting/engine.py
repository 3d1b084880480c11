"""Carries out a job's actions one by one, journaled, and takes them back.

Rules
- Every phase of every action is committed before the next begins, so after any crash the journal names the one action
  that may be half done, and how far it was.
- Going on: what was only begun is swept and begun anew; what is staged is switched; a program that was started is
  started again only where it bears that, else the job is `interrupted` and goes back.
- Going back: the last action first, each from its journal; what one of them can't take back is told, and the others go
  on; what only lacks room is tried until there is some.
- One action of one job at a time: who owns which path is looked up and written in one breath.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from sqlite3 import Connection
from typing import Any, Protocol

import structlog

from tiercast_endpoint.acting import effects as e
from tiercast_endpoint.acting.changes import Changer
from tiercast_endpoint.acting.comparing import Compared, Comparing
from tiercast_endpoint.acting.course import Deed, before, course
from tiercast_endpoint.acting.drafts import Draft, Drafter
from tiercast_endpoint.acting.native import Native, Site, Tools
from tiercast_endpoint.acting.natives import NATIVES
from tiercast_endpoint.acting.prefix import FOLDER, ActError, Image, Prefix
from tiercast_endpoint.acting.runner import JobRunner
from tiercast_endpoint.acting.wants import Wanting, Where
from tiercast_endpoint.jobs import programs
from tiercast_endpoint.jobs.journal import Job
from tiercast_endpoint.threads import in_thread
from tiercast_protocol.content.jobs.receipt import ActionResult, ProgramResult
from tiercast_protocol.content.package.actionread import pack_actions, unpack_actions
from tiercast_protocol.content.package.actiontypes import NATIVE, Action
from tiercast_protocol.content.package.handler import Handler
from tiercast_protocol.errors import StoreFull
from tiercast_protocol.node.database import Database
from tiercast_protocol.node.files import ROOM_AGAIN_S, is_full

log = structlog.get_logger(__name__)


class Trees(Protocol):
    """Where trees lie, and which handlers are installed: the engine's view of the install root."""

    def place(self, tree: str) -> Path:
        """The folder of a tree."""
        ...

    def link(self, package: str) -> Path:
        """The name that leads to the package's tree."""
        ...

    async def handler(self, package: str) -> tuple[Handler, Path]:
        """An installed handler and its tree; raises `ActError`."""
        ...


@dataclass(slots=True)
class Done:
    """What came of it, for the receipt."""

    actions: list[ActionResult] = field(default_factory=list)
    programs: list[ProgramResult] = field(default_factory=list)


class Engine:
    """The actions of all jobs on one prefix."""

    def __init__(self, *, db: Database, prefix: Prefix, keep: Path, trees: Trees, tools: Tools | None = None) -> None:
        self._db, self._prefix, self._trees = db, prefix, trees
        self._changer, self._comparing = Changer(prefix, keep), Comparing(prefix, keep)
        self._keep = keep
        self._tools = tools or Tools()
        self._one = asyncio.Lock()

    async def stands(self, package: str) -> bool:
        """Whether the installed version has actions."""
        return bool(await self._db.read(lambda connection: e.acted(connection, package)))

    async def apply(self, job: Job, new: Sequence[Action], done: Done) -> None:
        """Have `new` stand instead of what the installed version did.

        Raises:
            ActError, OSError: as far as it came is in the journal: `revert`.
        """
        if job.running:
            await in_thread(programs.kill_leftover, job.running)
        await in_thread(self._make_keep)
        known = {one.identity: one for one in await self._effects(job)}
        acted = await self._db.read(lambda connection: e.acted(connection, job.package))
        tree = self._trees.place(job.tree) if job.tree else self._trees.place("")
        run = JobRunner(self._db, job, self._prefix, tree)
        done.programs = run.results
        await self._carry_out(job, course(before(acted, known.values()), new), known, run, done)

    async def mend(self, job: Job, done: Done) -> None:
        """Have what the installed version placed stand as it did; natives are left alone.

        Raises:
            ActError, OSError: as `apply`.
        """
        await in_thread(self._make_keep)
        known = {one.identity: one for one in await self._effects(job)}
        acted = await self._db.read(lambda connection: e.acted(connection, job.package))
        differ = {*(await self.compare(job, tree=job.tree)).placed, *known}
        run = JobRunner(self._db, job, self._prefix, self._trees.place(job.tree))
        actions = [unpack_actions(one.action)[0] for one in before(acted, known.values())]
        deeds = [deed for deed in course(before(acted, known.values()), actions) if deed.identity in differ]
        await self._carry_out(job, deeds, known, run, done)

    async def compare(self, job: Job, tree: str = "") -> Compared:
        """What the job's package did to the machine, as it is now; its sources lie in `tree`, if that is said."""
        acted = await self._db.read(lambda connection: e.acted(connection, job.package))
        owned = await self._db.read(lambda connection: e.all_owned(connection, job.package))
        run = JobRunner(self._db, job, self._prefix, self._trees.place(tree))

        def native(action: Action, one: e.Acted) -> Native | None:
            return self._native(action, tree or one.tree, run)

        return await self._comparing.compare(acted, owned, lambda one: self._trees.place(tree or one.tree), native)

    async def _carry_out(
        self, job: Job, deeds: Sequence[Deed], known: Mapping[str, e.Effect], run: JobRunner, done: Done
    ) -> None:
        for deed in deeds:
            async with self._one:
                started = time.monotonic()
                shown = _shown(deed)
                try:
                    told = await self._deed(job, deed, known.get(deed.identity), run)
                except (ActError, OSError) as error:
                    done.actions.append(ActionResult(action=shown, did=f"failed: {error}", seconds=_since(started)))
                    raise
                done.actions.append(ActionResult(action=shown, did=told, seconds=_since(started)))

    async def revert(self, job: Job, done: Done) -> list[str]:
        """Take back what this job did; what could not be taken back."""
        if job.running:
            await in_thread(programs.kill_leftover, job.running)
        await in_thread(self._make_keep)
        run = JobRunner(self._db, job, self._prefix, self._trees.place(job.tree))
        done.programs = run.results
        # What an earlier life could not take back is told as well.
        failed = await self._db.read(lambda connection: e.lost(connection, job.n))
        for effect in reversed(await self._effects(job)):
            async with self._one:
                started = time.monotonic()
                shown = unpack_actions(effect.action)[0].shown
                why = ""
                try:
                    told = "; ".join(["taken back", *await self._back(effect, run)])
                except (ActError, OSError) as error:
                    if isinstance(error, OSError) and is_full(error):
                        raise  # there will be room: what is left stands in the journal, and is taken back then
                    log.warning("action not taken back", job=job.job, action=shown, error=str(error))
                    why = f"{shown}: {error}"
                    failed.append(why)
                    told = f"not taken back: {error}"
                await self._undone(effect, why)
                done.actions.append(ActionResult(action=shown, did=told, seconds=_since(started)))
        await self._unkeep()
        return failed

    async def _undone(self, effect: e.Effect, failed: str) -> None:
        """Journal that it was taken back or why not, however long it takes: a program that did it may not run twice."""
        while True:
            try:
                await self._db.write(lambda connection: e.undone(connection, effect, failed))
            except StoreFull as error:
                log.warning("no room for the journal", detail=str(error))
                await asyncio.sleep(ROOM_AGAIN_S)
            else:
                return

    async def accept(self, job: Job) -> None:
        """The new version stays: nobody goes back to before this job."""
        effects = await self._effects(job)
        if not effects:
            return
        for effect in effects:
            await in_thread(self._changer.forget, effect.changes)
        await self._db.write(lambda connection: e.accept(connection, job.n))
        await self._unkeep()

    async def moved(self, package: str, tree: str) -> None:
        """What the package's actions take of its tree lies in this one from now on."""
        if await self.stands(package):
            await self._db.write(lambda connection: e.move_acted(connection, package, tree))

    # -- one action ------------------------------------------------------------------------------------

    async def _deed(self, job: Job, deed: Deed, effect: e.Effect | None, run: JobRunner) -> str:
        if effect is not None and effect.phase == e.DONE:
            return effect.did
        if effect is not None and effect.phase == e.BEGUN:
            await self._sweep(effect)
            effect = None
        told: list[str] = []
        if effect is None:
            effect, told = await self._begin(job, deed, run)
        action = unpack_actions(effect.action)[0]
        native = self._native(action, effect.tree, run)
        if deed.kind == e.DO:
            told += await self._do(effect, native)
        else:
            told += await self._take(effect, native)
        finished = replace(effect, did="; ".join(filter(None, told)) or "placed")
        await self._db.write(lambda connection: e.save(connection, finished, e.DONE))
        return finished.did

    async def _sweep(self, effect: e.Effect) -> None:
        """It was begun, and nothing has its name yet: as if it had not been."""
        await in_thread(self._changer.restore, effect.changes, switched=False)
        await self._db.write(lambda connection: e.undone(connection, effect))

    async def _begin(self, job: Job, deed: Deed, run: JobRunner) -> tuple[e.Effect, list[str]]:
        """Look, draft, journal, stage, journal."""
        action, tree = self._meant(job, deed)
        native = self._native(action, tree, run)
        looked = await native.look() if native and deed.kind == e.DO else {}
        draft = await self._draft(job, deed, action, tree)
        effect = e.Effect(
            kind=deed.kind,
            package=job.package,
            identity=deed.identity,
            action=pack_actions([action]),
            tree=tree,
            position=deed.position,
            old=deed.old,
            # What is gone back to is what was before the package came, not before this version of it.
            state=_state(deed, looked),
            changes=draft.changes,
            was=draft.was,
            now=draft.now,
        )
        effect = await self._db.write(lambda connection: e.begin(connection, job.n, effect))
        changes = await in_thread(self._changer.stage, draft.changes, draft.fills)
        images = {change.path: change.after for change in changes}
        now = [_with_image(one, images) for one in effect.now]
        ready = replace(effect, changes=changes, now=now)
        return await self._db.write(lambda connection: e.save(connection, ready, e.READY)), draft.told

    def _meant(self, job: Job, deed: Deed) -> tuple[Action, str]:
        if deed.action is not None:
            return deed.action, job.tree
        if deed.old is None:
            raise RuntimeError("a deed without an action")
        return unpack_actions(deed.old.action)[0], deed.old.tree

    async def _draft(self, job: Job, deed: Deed, action: Action, tree: str) -> Draft:
        old = self._trees.place(deed.old.tree) if deed.old else None
        token = f"{job.n}-{deed.position}"
        where = Where(job.package, self._trees.place(tree), self._trees.link(job.package), old, token)
        drafter = Drafter(self._prefix, where, deed.identity)
        mine = await self._db.read(lambda connection: e.owned_by(connection, job.package, deed.identity))
        self._prefix.look_again()
        wants = await in_thread(Wanting(self._prefix, where).wants, action) if deed.kind == e.DO else []
        paths = {want.path for want in wants} | {one.path for one in mine}
        folders = {want.path for want in wants if want.after.kind == FOLDER} | {
            one.path for one in mine if one.kind == FOLDER
        }

        def owners(connection: Connection) -> dict[str, list[e.Owned]]:
            return e.owners(connection, paths, folders)

        known = await self._db.read(owners)
        if deed.kind == e.DO:
            return await in_thread(drafter.do, action, wants, mine, known)
        return await in_thread(drafter.take, mine, known)

    async def _do(self, effect: e.Effect, native: Native | None) -> list[str]:
        if effect.phase == e.RUNNING and native is not None and not await native.again():
            raise _interrupted(effect)
        await in_thread(self._changer.switch, effect.changes)
        if native is None:
            return []
        await self._db.write(lambda connection: e.save(connection, effect, e.RUNNING))
        return [await native.do(effect.state)]

    async def _take(self, effect: e.Effect, native: Native | None) -> list[str]:
        told = ["taken back"]
        if native is not None:
            if effect.phase == e.RUNNING and not await native.again():
                raise _interrupted(effect, "The undo of ")
            await self._db.write(lambda connection: e.save(connection, effect, e.RUNNING))
            try:
                told.append(await self._remove(effect, native))
            except ActError as error:  # it was seen to end, so a later job may try it again
                failed = replace(effect, did=str(error))
                await self._db.write(lambda connection: e.save(connection, failed, e.RUNNING))
                raise
        await in_thread(self._changer.switch, effect.changes)
        if native is not None:
            await native.settle(effect.state)
        return told

    async def _back(self, effect: e.Effect, run: JobRunner) -> list[str]:
        action = unpack_actions(effect.action)[0]
        ran = effect.phase in {e.RUNNING, e.DONE, e.BACK}
        native = self._native(action, effect.tree, run) if ran else None
        told: list[str] = []
        replaces = effect.kind == e.DO and effect.old is not None
        if native is not None and effect.kind == e.DO and not replaces:
            await self._go_back(effect, native, "The undo of ")
            told.append(await self._remove(effect, native))
        told += await in_thread(self._changer.restore, effect.changes, switched=effect.phase != e.BEGUN)
        if native is None:
            return told
        if effect.old is not None:
            # The older version's action stands again: what it did is done again, out of its own tree.
            older = self._native(unpack_actions(effect.old.action)[0], effect.old.tree, run)
            # What was not seen to be undone may still stand: doing it once more would be a guess.
            if older is not None and (await older.again() or (effect.kind == e.TAKE and effect.phase != e.RUNNING)):
                await self._go_back(effect, older)
                told.append(await older.do(effect.old.state))
        else:
            await native.settle(effect.state)
        return told

    async def _remove(self, effect: e.Effect, native: Native) -> str:
        if effect.state.get(e.UNSURE) and not await native.again():
            return "what takes it back was begun by an earlier job and not seen to finish, so it was not begun again"
        brought = not effect.state.get(native.shared)
        if native.shared and (heir := await self._db.write(lambda c: e.inherit(c, effect, brought=brought))):
            return f"left to the package {heir!r}, which names it too"
        return await native.remove(effect.state)

    async def _go_back(self, effect: e.Effect, native: Native, what: str = "") -> None:
        """Journal that the program which takes an action back begins; one that had begun is not begun again."""
        if effect.phase == e.BACK and not await native.again():
            raise _interrupted(effect, what)
        await self._db.write(lambda connection: e.save(connection, effect, e.BACK))

    def _native(self, action: Action, tree: str, run: JobRunner) -> Native | None:
        if action.class_ != NATIVE:
            return None
        place = self._trees.place(tree)
        return NATIVES[action.type](action, Site(self._prefix, place, run.at(place), self._tools, self._trees.handler))

    # -- what is kept ----------------------------------------------------------------------------------

    async def _effects(self, job: Job) -> list[e.Effect]:
        return await self._db.read(lambda connection: e.of_job(connection, job.n))

    def _make_keep(self) -> None:
        self._keep.mkdir(mode=0o700, exist_ok=True)

    async def _unkeep(self) -> None:
        async with self._one:
            needed = await self._db.read(e.kept_names)
            for name in await in_thread(self._changer.kept):
                if name not in needed:
                    await in_thread(self._changer.unkeep, name)


def _with_image(one: e.Owned, images: dict[str, Image]) -> e.Owned:
    """What was staged is what the package says, unless a merge made something else of it."""
    image = images.get(one.path)
    if image is None or one.after.digest or one.after.kind != image.kind:
        return one
    return replace(one, after=image)


def _shown(deed: Deed) -> str:
    if deed.action is not None:
        return deed.action.shown
    return unpack_actions(deed.old.action)[0].shown if deed.old else ""


def _state(deed: Deed, looked: dict[str, Any]) -> dict[str, Any]:
    """What the machine was like before the package came; once it is done anew nothing of it is unsure."""
    if deed.old is None:
        return looked
    return {key: value for key, value in deed.old.state.items() if key != e.UNSURE or deed.kind == e.TAKE}


def _interrupted(effect: e.Effect, what: str = "") -> ActError:
    said = "was started and not seen to finish; it is not idempotent, so it was not run again"
    return ActError("program.interrupted", f"{what}{unpack_actions(effect.action)[0].shown} {said}", "interrupted")


def _since(started: float) -> float:
    return round(time.monotonic() - started, 3)
