"""Names for completion."""

from typing import Any

import pytest

from tiercast_protocol.errors import UsageError
from tiercast_server.jobs.draft_verbs import DraftVerbs
from tiercast_server.jobs.verbs import JobVerbs
from tiercast_server.nodes.names import names


async def test_each_kind(world: Any, call: Any) -> None:
    await world.package("app", "1", {"a": b"1"})
    await world.package("app", "2", {"a": b"2"})
    await world.join("pc1")
    await world.join("gw", "gateway")
    await world.groups.add("all", [])
    jobs = [await world.job(targets=("pc1",)) for _ in range(2)]
    drafts = DraftVerbs(world.region, JobVerbs(world.jobs, world.view))
    draft = (await drafts.draft(call("job.draft", type="restart", targets=["pc1"])))["job"]
    await drafts.save_template(call("job.template.save", job=draft, name="nightly"))
    expected = {
        "node": ["gw", "pc1"],
        "gateway": ["gw"],
        "endpoint": ["pc1"],
        "group": ["all"],
        "package": ["app"],
        "cabinet": ["main"],
        "job": [draft, *jobs[::-1]],
        "plan": [],
        "template": ["nightly"],
    }
    assert {kind: await names(world.region, call("names", kind=kind)) for kind in expected} == expected
    with pytest.raises(UsageError) as caught:
        await names(world.region, call("names", kind="secret"))
    assert caught.value.code == "kind.unknown"
