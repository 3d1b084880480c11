"""The table of verbs is what the server does: every verb, on jobs of several types, in every state."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tiercast_protocol.content.jobs import jobtypes
from tiercast_protocol.content.jobs.jobtypes import STATES, VERBS, allowed
from tiercast_protocol.errors import UsageError
from tiercast_server.jobs.draft_verbs import DraftVerbs
from tiercast_server.jobs.parts import Part
from tiercast_server.jobs.verbs import JobVerbs
from tiercast_server.rollouts.set_verbs import Sets
from tiercast_server.steering_verbs import SteeringVerbs

OPTIONS = {"run": {"argv": '["/bin/true"]'}, "message": {"text": "hello"}}
#: Codes that the table gives; any other error means that the table let the verb pass.
REFUSED = {"job.type", "job.draft", "job.open", "job.closed"}


async def in_state(world: Any, verbs: JobVerbs, call: Any, type_: str, state: str) -> str:
    """A job of this type in this state; its id."""
    kind = jobtypes.TYPES[type_]
    node = "pc1" if kind.role == "endpoint" else "gw1"
    package = {"package": "app"} if kind.package else {}
    wanted = {"type": type_, "targets": [node], "options": OPTIONS.get(type_, {}), **package}
    if state == "draft":
        kept: str = (await DraftVerbs(world.region, verbs).draft(call("job.draft", **wanted)))["job"]
        return kept
    job: str = (await verbs.create(call("job.create", **wanted)))["job"]
    if state == "cancelling":
        await verbs.cancel(call("job.cancel", job=job))
    elif state != "open":
        await world.intake.take([world.record(job, node, state)])
    return job


@pytest.mark.parametrize("type_", ["install", "purge", "run", "restart"])
async def test_the_server_does_what_the_table_says(world: Any, call: Any, type_: str) -> None:
    jobs = JobVerbs(world.jobs, world.view)
    drafts, steering = DraftVerbs(world.region, jobs), SteeringVerbs(world.region, world.tree, world.jobs)
    await world.package("app", "1")
    await world.join("pc1")
    await world.join("gw1", "gateway")

    async def watch(asked: Any) -> None:
        async for _ in jobs.watch(asked):
            return

    sets = Sets(world.region, world.jobs)

    def step(word: str) -> Callable[[Any], Awaitable[Any]]:
        return lambda asked: sets.say(asked.text("job"), word, Part())

    doing: dict[str, tuple[Callable[[Any], Awaitable[Any]], dict[str, Any]]] = {
        "show": (jobs.show, {}),
        "copy": (drafts.copy, {}),
        "move": (drafts.move, {"folder": "a"}),
        "template": (drafts.save_template, {"name": "t", "replace": True}),
        "edit": (drafts.edit, {"set": {"note": "n"}}),
        "start": (drafts.start, {}),
        "watch": (watch, {}),
        "receipt": (jobs.receipt, {"node": "pc1"}),
        "rerun": (jobs.rerun, {"failed": True}),
        "cancel": (jobs.cancel, {}),
        "set": (steering.set_job, {"options": {"priority": 9}}),
        "suspend": (steering.suspend_job, {}),
        "resume": (steering.resume_job, {}),
        "commit": (step("commit"), {}),
        "accept": (step("accept"), {}),
        "undo": (step("undo"), {}),
        "delete": (jobs.delete, {}),
    }
    assert doing.keys() == VERBS.keys()
    for state in STATES:
        for verb, (handler, more) in doing.items():
            job = await in_state(world, jobs, call, type_, state)
            code = ""
            try:
                await handler(call(f"job.{verb}", job=job, **more))
            except UsageError as error:
                code = error.code
            except AttributeError:  # it went on to a sub-tree that is not there
                code = "no sub-tree"
            assert (code not in REFUSED) is allowed(verb, type_, state), (verb, state, code)
            if state in {"open", "cancelling"}:  # nothing open stays in the way of the next one's package
                shown = await world.view.show(job)
                node = shown["targets"][0]["node"]
                await world.intake.take([world.record(job, node, "done", revision=shown["revision"])])
