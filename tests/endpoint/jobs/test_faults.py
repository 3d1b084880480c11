"""What goes wrong in a step, as an event."""

from __future__ import annotations

import errno

import pytest

from tiercast_endpoint.jobs.events import Event, StepFailed
from tiercast_endpoint.jobs.faults import translated
from tiercast_endpoint.jobs.journal import Job
from tiercast_endpoint.jobs.story import Step
from tiercast_endpoint.trees.materials import Failed
from tiercast_endpoint.trees.tree import TreeError
from tiercast_protocol.errors import ChunkMissing, MessageInvalid, StoreFull

JOB = Job("j", 1, "install", "p", "1", 1, b"", 1, 2, "", "ordered", 1)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Failed("some.code", "x"), "some.code"),
        (TreeError("tree.path", "x"), "tree.path"),
        (StoreFull(1, 2, "x"), "disk.full"),
        (ChunkMissing(b"x" * 32), "chunk.missing"),
        (MessageInvalid("x"), "package.invalid"),
        (OSError(errno.ENOSPC, "full"), "disk.full"),
        (OSError(errno.EIO, "broken"), "disk.error"),
        (RuntimeError("ours"), "agent.bug"),
    ],
)
async def test_each_has_its_code(error: Exception, code: str) -> None:
    async def act() -> tuple[Job, Event]:
        raise error

    job, event = await translated(JOB, Step.PLAN, act, lambda: 7)
    assert job is JOB
    assert isinstance(event, StepFailed)
    assert (event.step, event.code) == (Step.PLAN, code)
