"""The verbs of the desired state."""

from __future__ import annotations

from typing import Any

import pytest

from tiercast_protocol.errors import UsageError
from tiercast_server.desired.verbs import AssignmentVerbs

ONE = {"name": "a", "target": "node pc1", "has": "app", "table": {"target": "node pc1", "has": "app"}}


async def test_a_day_of_an_administrator(world: Any, call: Any) -> None:
    await world.package("app", "1")
    await world.join("pc1")
    await world.says("pc1")
    verbs = AssignmentVerbs(world.assignments)
    document = {"assignments": [ONE]}
    found = await verbs.diff(call("desired.diff", document=document))
    assert [one["change"] for one in found["changes"]] == ["added"]
    assert await verbs.list_(call("assignment.list")) == []
    assert (await verbs.apply(call("desired.apply", document=document)))["number"] == 1
    assert (await verbs.pause(call("assignment.pause", assignment="a")))["number"] == 2
    assert (await verbs.pause(call("assignment.pause", assignment="a")))["number"] == 0
    (out,) = (await verbs.export(call("desired.export")))["assignments"]
    assert (out["paused"], out["table"]["paused"]) == (True, True)
    assert (await verbs.list_(call("assignment.list")))[0]["state"] == "paused"
    assert (await verbs.resume(call("assignment.resume", assignment="a")))["changes"][0]["differs"] == [
        "paused: True -> nothing"
    ]
    assert (await verbs.show(call("assignment.show", assignment="a")))["counts"] == {"missing": 1}
    await world.assignments.look()
    await verbs.delete(call("assignment.delete", assignment="a"))
    assert (await verbs.apply(call("desired.apply", again=1)))["changes"][0]["change"] == "added"
    assert [one["how"] for one in await verbs.history(call("desired.history"))] == [
        "again 1",
        "delete a",
        "resume a",
        "pause a",
        "apply",
    ]
    for verb in (verbs.show, verbs.delete, verbs.retry):
        with pytest.raises(UsageError) as caught:
            await verb(call("x", assignment="none"))
        assert caught.value.code == "assignment.unknown"


@pytest.mark.parametrize(
    ("document", "code"),
    [
        (None, "desired.invalid"),
        ({"format": 2}, "desired.format"),
        ({"more": 1}, "desired.invalid"),
        ({"assignments": [ONE, ONE]}, "desired.invalid"),
        ({"groups": [{"name": "a", "members": [1]}]}, "desired.invalid"),
    ],
)
async def test_documents_of_another_shape(world: Any, call: Any, document: Any, code: str) -> None:
    verbs = AssignmentVerbs(world.assignments)
    with pytest.raises(UsageError) as caught:
        await verbs.apply(call("desired.apply", document=document))
    assert caught.value.code == code


async def test_lines_are_numbers(world: Any, call: Any) -> None:
    with pytest.raises(UsageError) as caught:
        await AssignmentVerbs(world.assignments).diff(call("desired.diff", document={}, lines={"a": "b"}))
    assert caught.value.code == "argument.invalid"
