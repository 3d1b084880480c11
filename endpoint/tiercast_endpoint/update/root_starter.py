"""Starts the root half: in the version that the agent's own package installed, as long as that is good (docs/agent.md).

    python -m tiercast_endpoint.update.root_starter root run --state DIR

Rules
- Standard library, starter.py and trial.py only: it must work when the installed version does not even start.
- What is started as root is root's alone, from the install root down to the code, and so is every folder above: it was
  written and proved by the root half, and nobody else can have changed it.  What is not so is not started.
- A version is on trial from its first start until it has opened its journal and can answer.  One that ended three times
  before that, or did not come so far within ten minutes, is refused, and the version before is started.
- What is decided is written and synced before the start; then this process becomes the root half.
"""

from __future__ import annotations

import os
import stat
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from tiercast_endpoint.update import starter, trial

FILE = "root-version.json"
#: Names the tree that runs; it is not there where no starter started this half.
TREE = "TIERCAST_ROOT_TREE"
PACKAGE = "tiercast-agent"
_CODE = ("", "lib", "lib/tiercast_endpoint")


def main(words: Sequence[str] | None = None) -> None:
    """Become the root half with this command line."""
    args = list(sys.argv[1:] if words is None else words)
    state = starter.state_folder(args) or Path(os.environ.get("TIERCAST_ROOT_STATE") or "/var/lib/tiercast/root")
    root = Path(starter.settings(state, "root.toml").get("install_root") or "/nonexistent")
    link, record, tree = alone(root, starter.installed(root, PACKAGE)), trial.Record(), ""
    try:
        record, tree = trial.start(starter.load(state / FILE), link, time.time_ns() // 1_000_000)
        starter.save(state / FILE, record)
    except OSError as error:
        # Nothing is tried out that could not be written down.
        sys.stderr.write(f"starter: {error}\n")
        tree = ""
    # What is gone back to has to be root's alone, too.
    tree = alone(root, tree)
    environment = {**os.environ, TREE: tree}
    if tree:
        before = environment.get("PYTHONPATH", "")
        environment["PYTHONPATH"] = os.pathsep.join([str(root / tree / "lib"), *([before] if before else [])])
    # the same interpreter with our own words, no shell
    os.execve(sys.executable, [sys.executable, "-P", "-s", "-m", "tiercast_endpoint", *args], environment)  # noqa: S606


def alone(root: Path, tree: str) -> str:
    """The tree, if its code and every folder above can be changed by nobody but us; else ""."""
    if not tree:
        return ""
    with suppress(OSError):
        if not root.is_absolute() or root.resolve() != root:
            return ""
        inner = [root / tree / part for part in _CODE]
        shelf = (root / tree).parent
        if all(_ours(path) for path in (root, shelf.parent, shelf, *inner)) and all(
            _ours(above, shared=True) for above in root.parents
        ):
            return tree
    sys.stderr.write(f"starter: {tree} is not root's alone, and is not started\n")
    return ""


def reached(state: Path) -> None:
    """The version that runs can answer: from now on it is good.  Raises OSError."""
    tree = os.environ.get(TREE)
    if tree is None:
        return
    record = starter.load(state / FILE)
    if tree in {record.trial, record.good} and (record.trial or record.good != tree):
        starter.save(state / FILE, trial.reached(record, tree))


def _ours(path: Path, *, shared: bool = False) -> bool:
    at = path.lstat()
    open_ = at.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    if shared and at.st_mode & stat.S_ISVTX:
        open_ = 0
    return stat.S_ISDIR(at.st_mode) and at.st_uid in {0, os.geteuid()} and not open_


if __name__ == "__main__":
    main()
