"""Taking the state folder, the first thing that a server does.

Rules
- Apart from `daemon`, because that one takes over a second to import, and the lock must stand before.
- A folder without a region stays as it was: nothing is made in it.
"""

from __future__ import annotations

from contextlib import AsyncExitStack

from tiercast_protocol.errors import UsageError
from tiercast_protocol.node.lifecycle import StateLock
from tiercast_protocol.node.places import Place


def claim(stack: AsyncExitStack, here: Place) -> None:
    """Hold the folder of `here` as long as `stack` is open.

    Raises:
        StateError: another process holds it, or it can't be used.
        UsageError: region.none, no region was made there.
    """
    if not here.config.exists():
        raise UsageError(
            code="region.none",
            what="No region stands there.",
            where=str(here.folder),
            todo="Make one with `tiercast-server init --region NAME`, or name its folder with --state.",
        )
    stack.enter_context(StateLock(here.folder))
