"""Trees that are not whole: in the making, or left by a job that failed (docs/on-the-endpoint.md).

Rules
- Each has a row before it has files, and its folder goes after its row: what has no row is rubbish, swept at the start.
- A job goes on with what an earlier life of it left, or an earlier job of the same content that failed.
- What nobody goes on with stays a source of chunks until its package gets installed, or its room is needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import structlog

from tiercast_endpoint.jobs import journal
from tiercast_endpoint.jobs.journal import Job
from tiercast_endpoint.threads import in_thread
from tiercast_endpoint.trees import holdings
from tiercast_endpoint.trees.holdings import Tree
from tiercast_endpoint.trees.root_folder import STAGING, RootFolder
from tiercast_protocol.node.database import Database
from tiercast_protocol.transfer.ranges import RangeSet

log = structlog.get_logger(__name__)

Claimed = Mapping[str, RangeSet]


def staging_of(job: Job) -> str:
    """The name of the tree that the job makes."""
    return f"{STAGING}/{job.key}"


class PartialTrees:
    """Those of one install root.

    Args:
        db: the agent's journal.
        root: the install root.
    """

    def __init__(self, db: Database, root: RootFolder) -> None:
        self._db = db
        self._root = root

    async def open(self, job: Job, *, files: int, size: int) -> tuple[Path, Claimed]:
        """The folder for the job's tree, and what of it is known to lie there already."""
        name = staging_of(job)
        known = await self._db.read(lambda connection: holdings.partial_trees(connection, job.package))
        mine = next((tree for tree in known if tree.tree == name), None)
        if mine is None and (left := await self._left(job, known)) is not None:
            await in_thread(self._root.rename_staging, left, name)
            await self._db.write(lambda connection: holdings.move_tree(connection, left, name, whole=False))
            mine = next(tree for tree in known if tree.tree == left)
        if mine is not None and mine.root == job.root and await in_thread((self._root.path / name).is_dir):
            claimed = await self._db.read(lambda connection: holdings.placed_parts(connection, name))
            if claimed:
                return self._root.path / name, claimed
        await self.drop(name)
        folder = await in_thread(self._root.fresh_staging, job.key)
        row = Tree(name, job.package, job.version, job.package_revision, job.root, files, size)
        await self._db.write(lambda connection: holdings.begin_tree(connection, row))
        return folder, {}

    async def _left(self, job: Job, known: list[Tree]) -> str | None:
        """What a job that is over left of the same content in staging."""
        theirs = {staging_of(one) for one in await self._db.read(journal.open_jobs)}
        for tree in known:
            if tree.root == job.root and tree.tree.startswith(f"{STAGING}/") and tree.tree not in theirs:
                return tree.tree
        return None

    async def leave(self, job: Job) -> None:
        """The job failed: what it made is no tree, but stays a source."""
        await self._keep_or_drop(staging_of(job))
        if job.made and job.tree:
            await self._keep_or_drop(job.tree)

    async def _keep_or_drop(self, name: str) -> None:
        if await self._db.read(lambda connection: holdings.placed_parts(connection, name)):
            await self._db.write(lambda connection: holdings.move_tree(connection, name, name, whole=False))
        else:
            await self.drop(name)

    async def drop(self, name: str) -> None:
        """Forget and delete this one; absent is fine."""
        await self._db.write(lambda connection: holdings.remove_tree(connection, name))
        await in_thread(self._root.delete_partial, name)

    async def drop_of(self, package: str) -> None:
        """Delete those of the package that no open job makes: it stands, whole."""
        theirs = {staging_of(one) for one in await self._db.read(journal.open_jobs)}
        for tree in await self._db.read(lambda connection: holdings.partial_trees(connection, package)):
            if tree.tree not in theirs and tree.tree != await in_thread(self._root.current, package):
                await self.drop(tree.tree)

    async def drop_unneeded(self) -> None:
        """Delete those whose content no open job is to install: their room is needed."""
        roots = {one.root for one in await self._db.read(journal.open_jobs)}
        for tree in await self._db.read(holdings.partial_trees):
            if tree.root not in roots and tree.tree != await in_thread(self._root.current, tree.package):
                await self.drop(tree.tree)

    async def recover(self) -> int:
        """After a start: rows and folders agree, and all else is swept; returns how many trees went."""
        for tree in await self._db.read(holdings.partial_trees):
            if await in_thread((self._root.path / tree.tree).is_dir):
                continue
            # The life before ended between the rename onto the shelf and the row that says so.
            known = {one.tree for one in await self._db.read(holdings.trees)}
            shelf = await in_thread(self._root.trees_like, tree.package, tree.root)
            found = next((path for path in reversed(shelf) if path not in known), None)
            if found is None:
                await self._db.write(lambda connection, tree=tree: holdings.remove_tree(connection, tree.tree))  # type: ignore[misc]
            else:
                log.info("tree found on its shelf", tree=found)
                await self._db.write(
                    lambda connection, tree=tree, found=found: holdings.move_tree(  # type: ignore[misc]
                        connection, tree.tree, found, whole=False
                    )
                )
        rows = [*await self._db.read(holdings.trees), *await self._db.read(holdings.partial_trees)]
        return await in_thread(self._root.sweep, {tree.tree for tree in rows})
