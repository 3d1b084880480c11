"""The agent as a process that stays: started without a terminal's libraries (docs/agent.md, "Size").

Rules
- All else than `run [--state DIR]` on the command line is for the terminal's reader, which knows help and errors.
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
_STATE = "TIERCAST_ENDPOINT_STATE"


def understands(words: Sequence[str]) -> bool:
    """Whether these are `run` and, at most, where the agent's folder is."""
    match list(words):
        case ["run"] | ["run", "--state", _]:
            return True
        case ["run", one]:
            return one.startswith("--state=")
        case _:
            return False


def run(words: Sequence[str]) -> int:
    """Do what `understands` has understood; the exit code."""
    named = words[-1].removeprefix("--state=") if len(words) > 1 else os.environ.get(_STATE, "")
    return serve(Path(named) if named else None)


def serve(state: Path | None) -> int:
    """Run the agent of the folder `state` (None: the user's or the system's) until a signal comes; the exit code."""
    with _without(_UNUSED):
        from tiercast_endpoint.daemon import serve as serve_agent
        from tiercast_endpoint.restart import Restart, again
        from tiercast_protocol.node.lifecycle import run_daemon
        from tiercast_protocol.node.places import place

    restart = Restart()
    code = run_daemon(lambda stack: serve_agent(stack, place("endpoint", state), restart))
    if restart.due and not code:
        again()
    return code


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
