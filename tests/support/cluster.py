"""Regions of real daemons for the cluster tests.

Rules
- Everything a test starts lies in a folder of its own with a short name (UNIX sockets), and is stopped and removed.
- Waiting is for a condition with a deadline, never for a while.
"""

from __future__ import annotations

import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import tree
from commands import NODES, Commands
from linkbytes import connections, sockets_of
from region import Region, tail
from tiercast_protocol.node.control.framing import LENGTH, pack, unpack

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("protocol", "gateway", "server", "endpoint", "cli")


#: Bytes of a question whether the other side still lives, and of its answer.
KEEPALIVE = 4

_COMMANDS = Commands(sys.executable)
_NODES = {module: Commands(sys.executable, modules) for module, modules in NODES.items()}
#: Commands of nodes that end by themselves: no daemon, and nothing that becomes another user.
_SHORT = frozenset({"init", "join", "parent", "parents", "status", "verify", "why"})


class ForkedRegion(Region):
    """A region whose command lines are forked, where they run beside us: no interpreter starts for each.

    So are those of its nodes that found it, join it or show one.  Daemons are whole programs, as of a service manager.
    """

    def finish(self, module: str, args: Sequence[str], at: str) -> subprocess.CompletedProcess[str]:
        """See `Region`."""
        commands = _COMMANDS if module == "tiercast_cli" else _NODES.get(module) if args[0] in _SHORT else None
        if commands is None or self._inside(at):
            return super().finish(module, args, at)
        return commands.run(args, self.environment())


@contextmanager
def running(broker: str = "embedded") -> Iterator[Region]:
    """A region with nothing in it yet; on failure the daemons' logs are printed."""
    folder = Path(tempfile.mkdtemp(prefix="tc", dir="/tmp"))
    path = os.pathsep.join(str(ROOT / room) for room in ROOMS)
    region = ForkedRegion(folder, broker=broker, python=sys.executable, env={"PYTHONPATH": path})
    try:
        with region:
            yield region
    except BaseException:
        for daemon in region.daemons.values():
            sys.stderr.write(f"--- {daemon.name}\n{tail(daemon.log, 40)}\n")
        raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def content_bytes(region: Region, child: str) -> int:
    """Bytes, both ways, that the kernel counted on the connection to its parent over which `child` gets content.

    Of the two that it has, that is the one that carried more: asked when some megabytes came.
    """
    daemon = region.daemons[child]
    port, own = daemon.uplink or region.daemons[daemon.parent].port, sockets_of(daemon.pid)
    every = [one for one in connections(daemon.pid) if one.remote_port == port and one.inode in own]
    return max(one.sent + one.received for one in every)


def until(condition: Callable[[], Any], what: str, seconds: float = 120.0) -> Any:
    """Ask until `condition` is true; its value.

    Raises:
        AssertionError: it was not in time.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.02)  # the pause between two questions, not a wait for luck
    raise AssertionError(f"not within {seconds:.0f} s: {what}")


def random_tree(folder: Path, *, seed: int, files: int, size: int) -> Path:
    """A tree of `files` incompressible files, about `size` bytes in all, in a few folders, and folders within those.

    Beyond 64 of them a tree is written in more than one batch.
    """
    rng = random.Random(seed)
    for number in range(files):
        inner = ("", f"inner-{number % 5}", f"inner-{number % 5}/deep-{number % 3}/deeper")[number // 7 % 3]
        path = folder / f"part-{number % 7}" / inner / f"file-{number:03}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(rng.randbytes(rng.randrange(size // files, 2 * size // files)))
    return folder


def assert_installed(region: Region, endpoints: list[str], package: str, source: Path) -> None:
    """Every endpoint's tree equals the source, by find and sha256sum."""
    expected = tree.listing(source)
    for name in endpoints:
        installed = region.apps(name) / package
        assert installed.exists(), f"{package} is not on {name}"
        assert tree.difference(expected, tree.listing(installed.resolve())) == ""


def build(region: Region, source: Path, name: str, version: str, *options: str) -> dict[str, Any]:
    """Package a tree; what the command answered."""
    answer = region.cli("package", "build", str(source), "--name", name, "--version", version, *options)
    package: dict[str, Any] = answer["package"]
    return package


def asked(region: Region, verb: str, *, at: str = "server", **args: Any) -> Any:
    """What a daemon's control socket answers: for questions asked again and again, without a process for each.

    Raises:
        AssertionError: it answered with an error.
    """
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(60)
        client.connect(str(region.daemons[at].socket))
        client.sendall(pack({"id": 1, "verb": verb, "args": args}))
        with client.makefile("rb") as answers:
            (length,) = LENGTH.unpack(answers.read(LENGTH.size))
            answer = unpack(answers.read(length))
    assert "error" not in answer, answer
    return answer["result"]


def assert_balanced(region: Region) -> dict[str, dict[str, Any]]:
    """Everybody is heard and at rest, and the books of both ends of every link agree.

    Gives the links by "parent -> child".
    """
    last: list[Any] = [None]

    def at_rest() -> bool:
        last[0] = asked(region, "ledger.check", below=True, patience_ms=30_000)
        return not last[0]["silent"] and not any(link["under_way"] for link in last[0]["links"])

    try:
        until(at_rest, "everybody is heard and at rest")
    except AssertionError as error:
        raise AssertionError(f"{error}: {last}") from error
    uneven = [link for link in last[0]["links"] if not link["even"]]
    assert last[0]["balanced"], uneven
    return {f"{link['parent']} -> {link['child']}": link for link in last[0]["links"]}


def states(region: Region, job: str) -> dict[str, str]:
    """Each target's state."""
    return {t["node"]: t["state"] for t in asked(region, "job.show", job=job)["targets"]}
