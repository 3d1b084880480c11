"""What can be asked of the agent."""

from __future__ import annotations

from typing import Any

import pytest
from tests.endpoint.lab import Agent, pack

from tiercast_endpoint.verbs import Readings
from tiercast_protocol.content.package.programs import Program
from tiercast_protocol.content.sealed.chunk import seal
from tiercast_protocol.errors import UsageError
from tiercast_protocol.node.control.verbs import Verbs
from tiercast_protocol.node.metrics import METRICS
from tiercast_protocol.wire.envelope import wrap
from tiercast_protocol.wire.messages import Answer, Query


async def state() -> dict[str, Any]:
    return {"name": "pc1"}


class Roamer:
    """Remembers what the owner chose."""

    def __init__(self) -> None:
        self.chosen = ""

    def choose(self, name: str) -> None:
        self.chosen = name

    def shown(self) -> dict[str, Any]:
        return {"parent": self.chosen or "berlin"}


@pytest.fixture
async def readings(agent: Agent) -> Readings:
    script = {"say.sh": b"#!/bin/sh\necho said\n"}
    one = pack("hello", "1.0", script, run_after=Program(("./say.sh",)))
    two = pack("hello", "2.0", {"f": b"2"})
    agent.offer(one, two)
    await agent.do("j1", "install", one)
    await agent.do("j2", "install", two)
    await agent.do("j2", "cancel", None, revision=2)
    materials = agent.steps._materials
    return Readings(agent.db, state, materials.stored_form, materials.staged, Roamer())


async def ask(readings: Readings, verb: str, **args: object) -> Answer:
    return await readings.answer(wrap("query.v1", Query(verb=verb, args=args), sender="server"))


async def test_packages_and_jobs(readings: Readings) -> None:
    (package,) = await readings.table["packages"]({})
    assert (package["package"], package["version"], package["previous"]) == ("hello", "2.0", "1.0")
    assert (package["files"], package["size"]) == (1, 1)
    jobs = await readings.table["jobs"]({"limit": 2})
    assert [(job["job"], job["revision"], job["state"]) for job in jobs] == [("j2", 2, "done"), ("j2", 1, "done")]
    assert "programs" not in jobs[0]
    job = await readings.table["job.show"]({"job": "j1"})
    assert job["programs"][0]["output"] == "said\n"
    job = await readings.table["job.show"]({"job": "j2"})
    assert (job["revision"], [one["revision"] for one in job["revisions"]]) == (2, [1])


@pytest.mark.parametrize(
    ("verb", "args", "code"),
    [
        ("jobs", {"limit": 0}, "argument.invalid"),
        ("jobs", {"limit": "x"}, "argument.invalid"),
        ("job.show", {}, "argument.invalid"),
        ("job.show", {"job": "none"}, "job.unknown"),
        ("run", {}, "verb.unknown"),
    ],
)
async def test_mistakes_are_told(readings: Readings, verb: str, args: dict[str, object], code: str) -> None:
    assert (await ask(readings, verb, **args)).error["code"] == code
    if verb in readings.table:
        with pytest.raises(UsageError):
            await readings.table[verb](dict(args))


async def test_the_tree_and_the_socket_read_the_same(readings: Readings) -> None:
    said: dict[str, Any] = (await ask(readings, "status")).result
    assert said["name"] == "pc1"
    assert said["counters"] == METRICS.snapshot()
    assert (await ask(readings, "packages")).result == await readings.table["packages"]({})
    verbs = Verbs()
    readings.register(verbs)
    reading = dict.fromkeys(readings.table, "viewer")
    # below which parent the machine is and what was read is its owner's word; never over the tree
    assert {name: verb.role for name, verb in verbs.table.items()} == reading | {
        "parents.move": "operator",
        "parents.set": "operator",
        "messages.read": "operator",
    }


async def test_whoever_above_lost_chunks_gets_them_from_installed_files(readings: Readings, agent: Agent) -> None:
    two = pack("hello", "2.0", {"f": b"2"})
    await agent.store.evict(list(two.chunks))
    (digest,) = await agent.steps._materials.sources.known(list(two.chunks))
    answer = await ask(readings, "chunks.give", digests=digest + b"n" * 32, offset=0)
    assert answer.error == {}
    assert answer.result == {"pieces": [(0, 2, 0, seal(b"2")[1])], "place": 2, "offset": 0}
    assert (await ask(readings, "chunks.give", digests=b"short", offset=0)).error["code"] == "argument.invalid"


async def test_what_is_held_of_a_package(readings: Readings, agent: Agent) -> None:
    two = pack("hello", "2.0", {"f": b"2"})
    answer = await ask(readings, "depot.holds", root=two.root)
    assert isinstance(answer.result, dict)
    assert answer.result["chunks"] >= 2, "root and list; the data may have gone with the installation"
    assert answer.result["installed"] == 1
    await agent.store.evict(list(two.chunks))
    assert (await ask(readings, "depot.holds", root=two.root)).result == {"chunks": 0, "bytes": 0, "installed": 1}
    assert (await ask(readings, "depot.holds", root=b"x" * 32)).result == {"chunks": 0, "bytes": 0, "installed": 0}
    assert (await ask(readings, "depot.holds")).error["code"] == "argument.invalid"
