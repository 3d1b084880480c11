"""A daemon for the command line to talk to: a real control socket with answers that the test chooses."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tiercast_cli.__main__ import app
from tiercast_cli.talk.session import session
from tiercast_protocol.node.control.server import ControlServer
from tiercast_protocol.node.control.verbs import Call, Verbs


@dataclass
class Daemon:
    """Answers by verb, and what it was asked."""

    path: Path
    answers: dict[str, Any] = field(default_factory=dict)
    streams: dict[str, list[Any]] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def run(self, *words: str, code: int = 0, stdin: str = "") -> str:
        """Run the command line; what it printed (output and errors)."""
        result = CliRunner().invoke(app, ["--socket", str(self.path), *words], input=stdin or None)
        assert result.exit_code == code, f"exit {result.exit_code}: {result.output}\n{result.exception!r}"
        return result.output

    def json(self, *words: str, code: int = 0) -> dict[str, Any]:
        """Run the command line with --json; its last line."""
        answer: dict[str, Any] = json.loads(self.run(*words, "--json", code=code).strip().splitlines()[-1])
        assert answer["schema"] == 1
        return answer


VERBS = [
    "status",
    "node.invite",
    "node.list",
    "node.show",
    "node.remove",
    "node.move",
    "node.home",
    "node.candidates",
    "node.retire",
    "node.replace",
    "group.add",
    "group.delete",
    "group.join",
    "group.leave",
    "group.set",
    "group.list",
    "group.show",
    "cabinet.add",
    "cabinet.list",
    "cabinet.show",
    "cabinet.delete",
    "package.entry",
    "package.missing",
    "package.store",
    "package.register",
    "package.patches",
    "package.patch",
    "package.list",
    "package.check",
    "package.diff",
    "package.values",
    "package.standing",
    "package.tested",
    "package.move",
    "cabinet.rename",
    "cabinet.rights",
    "package.show",
    "package.delete",
    "desired.apply",
    "desired.diff",
    "desired.export",
    "desired.history",
    "assignment.list",
    "assignment.show",
    "assignment.delete",
    "assignment.pause",
    "assignment.resume",
    "assignment.retry",
    "job.create",
    "job.draft",
    "job.folders",
    "job.start",
    "job.copy",
    "job.edit",
    "job.move",
    "job.from",
    "job.template.save",
    "job.template.list",
    "job.template.show",
    "job.template.delete",
    "job.list",
    "job.show",
    "job.why",
    "job.history",
    "node.history",
    "job.cancel",
    "job.commit",
    "job.accept",
    "job.undo",
    "job.rerun",
    "job.delete",
    "job.receipt",
    "rollout.start",
    "rollout.list",
    "rollout.show",
    "rollout.next",
    "rollout.pause",
    "rollout.resume",
    "rollout.cancel",
    "rollout.undo",
    "depot.show",
    "depot.pin",
    "depot.unpin",
    "depot.keep",
    "depot.audit",
    "depot.who",
    "depot.members",
    "chunks.give",
    "depot.evict",
    "ledger.check",
    "ledger.show",
    "link.list",
    "link.set",
    "link.show",
    "link.suspend",
    "link.resume",
    "link.window.add",
    "link.window.remove",
    "node.suspend",
    "node.resume",
    "job.suspend",
    "job.resume",
    "job.set",
    "hold.list",
    "inventory.list",
    "inventory.show",
    "node.wake",
    "wake.list",
    "inventory.count",
    "inventory.names",
    "inventory.tally",
    "inventory.history",
    "plan.check",
    "plan.run",
    "plan.show",
    "plan.list",
    "plan.cancel",
    "plan.suspend",
    "plan.resume",
    "plan.delete",
    "plan.rerun",
    "names",
]


def _verbs(daemon: Daemon) -> Verbs:
    verbs = Verbs()

    def single(name: str) -> Callable[[Call], Any]:
        async def handler(call: Call) -> Any:
            daemon.asked.append((name, dict(call.args)))
            answer = daemon.answers.get(name, {})
            if isinstance(answer, Exception):
                raise answer
            return answer(call.args) if callable(answer) else answer

        return handler

    async def watch(call: Call) -> AsyncIterator[Any]:
        daemon.asked.append((call.verb, dict(call.args)))
        for item in daemon.streams.get(call.verb, []):
            yield item

    for name in VERBS:
        verbs.add(name, "viewer", single(name))
    for name in ("job.watch", "plan.watch"):
        verbs.add(name, "viewer", watch)
    return verbs


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    """A daemon in a thread of its own, so that the command line can run its own loop."""
    made = Daemon(tmp_path / "control.sock")
    loop = asyncio.new_event_loop()
    ready, stop = threading.Event(), asyncio.Event()

    async def serve() -> None:
        async with ControlServer(made.path, _verbs(made)):
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    assert ready.wait(60)
    yield made
    loop.call_soon_threadsafe(stop.set)
    thread.join(60)
    loop.close()
    session.socket = ""


def snapshot(state: str, done: int) -> dict[str, Any]:
    """What `job.watch` gives for a job with one target."""
    ended = state not in {"ordered", "waiting", "fetching", "staged", "installing", "removing"}
    return {
        "job": "j1",
        "type": "install",
        "package": "editor",
        "version": "2.1",
        "state": ("done" if state == "done" else "failed") if ended else "open",
        "created": 1_700_000_000_000,
        "expires": 1_800_000_000_000,
        "by": "root",
        "counts": {state: 1},
        "targets": [
            {"node": "pc-1", "parent": "berlin", "state": state, "code": "", "detail": "", "done": done, "total": 1000}
        ],
        "hops": [{"node": "berlin", "state": "relaying", "done": done, "total": 1000}],
    }
