"""Who performs the steps of jobs in this agent, put together from its settings.

Rules
- From the inside out: a tree, its actions, jobs about no package, power, the agent's own package.  The root
  half, where there is one, stands in for all before the last.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tiercast_endpoint.acting.performing import Acting
from tiercast_endpoint.facts.inventory import Informer
from tiercast_endpoint.halves.halves import Halves
from tiercast_endpoint.jobs.actions import Actions
from tiercast_endpoint.jobs.powering import Powering
from tiercast_endpoint.jobs.restart import Restart
from tiercast_endpoint.jobs.run import Performer
from tiercast_endpoint.jobs.steps import Steps, same_file_system
from tiercast_endpoint.owner.watching import Watching
from tiercast_endpoint.settings import Settings
from tiercast_endpoint.trees.materials import Materials
from tiercast_endpoint.trees.placing import Placing
from tiercast_endpoint.trees.root_folder import RootFolder
from tiercast_endpoint.trees.selection import Chooser
from tiercast_endpoint.update.selfupdate import SelfUpdate, running_tree
from tiercast_protocol.node.chunks.disk import DiskStore
from tiercast_protocol.node.database import Database
from tiercast_protocol.node.upstream import Upstream


@dataclass(frozen=True, slots=True)
class Hands:
    """What all of them work on.

    Attributes:
        folder: the agent's.
        settings: of its `endpoint.toml`.
        root: the install root.
        db: the agent's journal.
        upstream: the way to the parent.
    """

    folder: Path
    settings: Settings
    root: RootFolder
    db: Database
    upstream: Upstream

    def materials(self, store: DiskStore, placing: Placing) -> Materials:
        """Where content comes from, and the room it needs."""
        shared = same_file_system(self.folder, self.root.there)
        return Materials(
            db=self.db,
            root=self.root,
            store=store,
            placing=placing,
            fetcher=self.upstream,
            store_free=lambda: (store.usage().disk_free, shared),
            limits=self.settings.limits(),
        )

    def performer(
        self, materials: Materials, informer: Informer, watching: Watching, restart: Restart, now_ms: Callable[[], int]
    ) -> tuple[Performer, Acting | Halves]:
        """Who performs steps, and who did what outside of the trees: the way to the root half, where there is one."""
        settings, limits, db = self.settings, self.settings.limits(), self.db
        materials.chooser = Chooser(informer.now, settings.variables)
        inner = Steps(db=db, root=self.root, materials=materials, limits=limits, now_ms=now_ms)
        prefix, keep = settings.prefix, self.folder / "kept"
        acting = Acting(db=db, root=self.root, materials=materials, steps=inner, prefix=prefix, keep=keep)
        own = Actions(
            db=db,
            steps=acting,
            restart=restart.asked,
            look=informer.afresh,
            now_ms=now_ms,
            kept=watching.feed.message,
        )
        halves = None
        if settings.root_socket:
            halves = Halves(db=db, materials=materials, own=own, path=Path(settings.root_socket))
        performer = SelfUpdate(
            halves or Powering(db, settings.power, own),
            folder=self.folder,
            package=settings.agent_package,
            running=running_tree(),
            restart=restart,
            connected=lambda: self.upstream.connected,
        )
        return performer, halves or acting
