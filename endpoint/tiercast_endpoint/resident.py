"""The agent as a process that stays: started without a terminal's libraries (docs/agent.md, "Size").

Rules
- All but `run [--state DIR]` and `root run [--state DIR]` is for the terminal's reader, which knows help and errors.
- A log needs no rich text: libraries that would load it for that are told that there is none.
- What was loaded once and stays is put where the collector does not look, and what loading left over is given back.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

#: Loaded by structlog where they are there; a daemon's log uses nothing of them.
_UNUSED = ("rich", "greenlet")
_STATE, _ROOT_STATE = "TIERCAST_ENDPOINT_STATE", "TIERCAST_ROOT_STATE"
_ROOT = "/var/lib/tiercast/root"


def understands(words: Sequence[str]) -> bool:
    """Whether these are `run` or `root run` and, at most, where the folder is."""
    match list(words):
        case ["run", *rest] | ["root", "run", *rest]:
            return not rest or (rest[0] == "--state" and len(rest) == 2)  # noqa: PLR2004 - and its value
        case _:
            return False


def run(words: Sequence[str]) -> int:
    """Do what `understands` has understood; the exit code."""
    named = Path(words[-1]) if "--state" in words else None
    if words[0] == "root":
        return serve_root(named or Path(os.environ.get(_ROOT_STATE) or _ROOT))
    return serve(named or (Path(os.environ[_STATE]) if os.environ.get(_STATE) else None))


def serve(state: Path | None) -> int:
    """Run the agent of the folder `state` (None: the user's or the system's) until a signal comes; the exit code."""
    with _without(_UNUSED):
        from tiercast_endpoint.daemon import serve as serve_agent
        from tiercast_endpoint.jobs.restart import Restart, again
        from tiercast_protocol.node.lifecycle import run_daemon
        from tiercast_protocol.node.places import place

    restart = Restart()
    code = run_daemon(lambda stack: serve_agent(stack, place("endpoint", state), restart))
    if restart.due and not code:
        again()
    return code


def serve_root(folder: Path, path: Path | None = None) -> int:
    """Run the root half over `folder` until nobody asks; `path` is where to listen without a service manager."""
    with _without(_UNUSED):
        from tiercast_endpoint.halves.rootrun import serve as serve_half
        from tiercast_protocol.node.lifecycle import run_daemon
    return run_daemon(lambda stack: serve_half(stack, folder, path))


@contextmanager
def _without(names: Sequence[str]) -> Iterator[None]:
    """Meanwhile these can't be imported, unless they have been already."""
    hidden = [name for name in names if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]
