"""A dry run names who would refuse a package, and why."""

from __future__ import annotations

from typing import Any

from tiercast_protocol.content.package.definition import Definition, canonical
from tiercast_server.jobs.checks import Request


async def test_who_would_refuse_it(world: Any) -> None:
    for name in ("pc1", "pc2", "pc3"):
        await world.join(name)
    await world.says("pc1", packages={"app": "2"})
    await world.says("pc2", packages={"app": "1"})
    definition = canonical(Definition("app", "1.5", replace="newer"))
    await world.package("app", "1.5", definition=definition)
    asked = {"type": "install", "package": "app", "by": "t", "targets": ("pc1", "pc2", "pc3"), "dry_run": True}
    found = await world.jobs.create(Request(**asked))
    assert [(one["node"], one["version"]) for one in found["refused"]] == [("pc1", "2")]
    assert "replace only older" in found["refused"][0]["why"]
    assert "refused" not in await world.jobs.create(Request(**asked, options={"replace": "any"}))
