"""`tiercast-endpoint recover`: both halves' journals, before either of them runs.

Rules
- A folder that is not there, or was never joined, has nothing to recover: the machine starts as ever.
- While the agent runs it does this itself: the folder is its own then, and the command says so.
"""

from __future__ import annotations

from pathlib import Path

from tiercast_endpoint.acting.prefix import ActError
from tiercast_endpoint.acting.recovery import recover
from tiercast_endpoint.halves import trusted
from tiercast_endpoint.settings import Settings
from tiercast_protocol.errors import StateError
from tiercast_protocol.node import config
from tiercast_protocol.node.lifecycle import StateLock
from tiercast_protocol.node.places import Place


def recover_both(place: Place, root_state: Path) -> list[str]:
    """What was made whole, of the agent's folder and of its root half's.

    Raises:
        UsageError: settings that can't be read.
        StateError: the agent runs, or a file could not be placed.
    """
    done: list[str] = []
    if place.config.is_file():
        done += _one(place.folder, "agent.db", config.load(place.config, Settings).prefix)
    if (root_state / trusted.CONFIG).is_file():
        settings = config.load(root_state / trusted.CONFIG, trusted.RootSettings)
        done += _one(root_state, "root.db", settings.prefix)
    return done


def _one(folder: Path, database: str, prefix: Path) -> list[str]:
    if not (folder / database).is_file():
        return []  # it never ran; a lock made here would be root's, and keep it out
    with StateLock(folder):
        try:
            return recover(folder / database, prefix, folder / "kept")
        except (ActError, OSError) as error:
            todo = "Make room, or look at the path; the agent tries again when it starts."
            raise StateError(str(folder), f"a file can't be placed: {error}", todo) from error
