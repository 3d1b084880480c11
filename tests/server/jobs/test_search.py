"""Filters of the list: each narrows, and what no job can be is an error."""

from __future__ import annotations

from typing import Any

import pytest

from tiercast_protocol.errors import UsageError
from tiercast_server.jobs.verbs import JobVerbs


@pytest.fixture(name="verbs")
def _verbs(world: Any) -> JobVerbs:
    return JobVerbs(world.jobs, world.view)


async def _listed(verbs: JobVerbs, call: Any, **wanted: Any) -> list[str]:
    return [one["note"] for one in await verbs.list_(call("job.list", **wanted))]


async def test_every_filter_narrows(world: Any, call: Any, verbs: JobVerbs) -> None:
    from tiercast_server.jobs.draft_verbs import DraftVerbs  # noqa: PLC0415 - only here

    drafts = DraftVerbs(world.region, verbs)
    await world.package("app", "1")
    await world.package("app_x", "1")
    for node in ("pc1", "pc2"):
        await world.join(node)
    common = {"type": "install", "package": "app", "targets": ["pc1"]}
    first = (await verbs.create(call("job.create", **common, note="first", folder="site/berlin")))["job"]
    world.now[0] += 1000
    asked = {**common, "targets": ["pc2"], "package": "app_x=1", "note": "Second"}
    second = (await verbs.create(call("job.create", **asked, folder="site")))["job"]
    options = {"argv": '["/usr/bin/df", "-h"]'}
    run = {"type": "run", "targets": ["pc1"], "options": options, "note": "third"}
    third = (await verbs.create(call("job.create", **run, folder="sites")))["job"]
    await drafts.draft(call("job.draft", type="restart", targets=["pc2"], note="fourth", folder="site"))
    await world.intake.take([world.record(first, "pc1", "done")])
    await world.jobs.cancel(third)

    everything = ["fourth", "third", "Second", "first"]
    for wanted, expected in (
        ({}, everything),
        ({"limit": 2}, everything[:2]),
        ({"states": ["done"]}, ["first"]),
        ({"states": ["draft"]}, ["fourth"]),
        ({"states": ["open"]}, ["Second"]),
        ({"states": ["cancelling"]}, ["third"]),
        ({"states": ["open", "cancelling", "draft"]}, everything[:3]),
        ({"states": ["failed"]}, []),
        ({"types": ["install"]}, ["Second", "first"]),
        ({"types": ["run", "restart"]}, ["fourth", "third"]),
        ({"package": "app"}, ["first"]),
        ({"package": "app_x=1"}, ["Second"]),
        ({"package": "app_x=2"}, []),
        ({"target": "pc1"}, ["third", "first"]),
        ({"target": "pc2"}, ["fourth", "Second"]),
        ({"since": world.now[0]}, ["fourth", "third", "Second"]),
        ({"folder": "site"}, ["fourth", "Second", "first"]),
        ({"folder": "site/berlin"}, ["first"]),
        ({"search": "SECOND"}, ["Second"]),
        ({"search": "/df"}, ["third"]),
        ({"search": "p_x"}, ["Second"]),
        ({"search": "berlin"}, ["first"]),
        ({"search": "%"}, []),
        ({"since": 1 << 63}, []),
        ({"search": second}, ["Second"]),
        ({"search": "ann", "types": ["install"], "states": ["open", "done"]}, ["Second", "first"]),
    ):
        assert await _listed(verbs, call, **wanted) == expected, wanted


@pytest.mark.parametrize(
    ("wanted", "code"),
    [
        ({"states": ["oppen"]}, "state.unknown"),
        ({"types": ["instal"]}, "type.unknown"),
        ({"folder": "a//b"}, "folder.invalid"),
        ({"search": "x" * 300}, "search.invalid"),
        ({"states": "open"}, "argument.invalid"),
    ],
)
async def test_what_no_job_can_be(call: Any, verbs: JobVerbs, wanted: dict[str, Any], code: str) -> None:
    with pytest.raises(UsageError) as caught:
        await verbs.list_(call("job.list", **wanted))
    assert caught.value.code == code
