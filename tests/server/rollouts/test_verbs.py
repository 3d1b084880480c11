"""The verbs of rollouts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from tiercast_protocol.errors import UsageError
from tiercast_protocol.node.control.verbs import Verbs
from tiercast_server.jobs.verbs import JobVerbs
from tiercast_server.rollouts.life import WHOLE, Rules
from tiercast_server.rollouts.verbs import add_rollout_verbs, rules_of


def test_the_rules_that_a_call_says(call: Any) -> None:
    assert rules_of(call("rollout.start")) == Rules()
    said = call("rollout.start", go_on="95%", soak_s=60, by_hand=True, stop_at="2.5%")
    assert rules_of(said) == Rules(95_000, 60_000, by_hand=True, stop_share=2_500, site_share=2_500)
    assert rules_of(call("rollout.start", stop_at="3")) == Rules(WHOLE, stop_number=3, site_number=3)
    assert rules_of(call("rollout.start", stop_at="3", stop_at_site="off")) == Rules(WHOLE, stop_number=3)
    assert rules_of(call("rollout.start", stop_at_site="10%")) == Rules(WHOLE, site_share=10_000)


@pytest.mark.parametrize(
    ("args", "code"),
    [
        ({"go_on": "101%"}, "rollout.go-on"),
        ({"go_on": "95"}, "rollout.go-on"),
        ({"stop_at": "0"}, "rollout.stop-at"),
        ({"stop_at": "0%"}, "rollout.stop-at"),
        ({"stop_at": "200%"}, "rollout.stop-at"),
        ({"stop_at": "9" * 30}, "rollout.stop-at"),
        ({"stop_at_site": "0"}, "rollout.stop-at-site"),
        ({"stop_at_site": "101%"}, "rollout.stop-at-site"),
        ({"soak_s": -1}, "rollout.soak"),
    ],
)
def test_rules_that_can_not_be(call: Any, args: dict[str, Any], code: str) -> None:
    with pytest.raises(UsageError) as caught:
        rules_of(call("rollout.start", **args))
    assert caught.value.code == code
    if "no share" in caught.value.what:
        assert f"--{code.removeprefix('rollout.')} " in caught.value.what, "the option that was typed"


class Patches:
    def __init__(self) -> None:
        self.heard: list[str] = []

    async def ordered(self, job: str) -> None:
        self.heard.append(job)


@dataclass
class Desk:
    region: Any
    rollouts: Any
    patches: Patches
    jobs: Any


async def test_a_rollout_from_its_start_to_its_undo(world: Any, call: Any) -> None:
    verbs, desk = Verbs(), Desk(world.region, world.rollouts, Patches(), JobVerbs(world.jobs, world.view))
    add_rollout_verbs(verbs, desk, lambda handler: handler)  # type: ignore[arg-type] - what they need of a desk

    async def do(verb: str, **args: Any) -> Any:
        handler: Any = verbs.named(verb).handler
        return await handler(call(verb, **args))

    await world.package("app", "1")
    for name in ("pc1", "pc2"):
        await world.join(name)
    asked = {"package": "app", "targets": ["pc1"], "target": "node pc2", "waves": ["node pc1", "rest"]}
    assert "rollout" not in await do("rollout.start", **asked, dry_run=True)
    made = await do("rollout.start", **asked, by_hand=True)
    id_ = made["rollout"]
    assert (await do("rollout.pause", rollout=id_))["state"] == "paused"
    assert (await do("rollout.resume", rollout=id_))["state"] == "running"
    said = await do("rollout.next", rollout=id_)
    for name, job in (("pc1", made["jobs"][0]), ("pc2", said["jobs"][0])):
        await world.intake.take([world.record(job, name, "done")])
    await world.rollouts.look()
    assert [one["state"] for one in await do("rollout.list")] == ["done"]
    undone = await do("rollout.undo", rollout=id_)
    assert desk.patches.heard == [*made["jobs"], *said["jobs"]], "who goes back needs no patch"
    assert (await do("rollout.cancel", rollout=undone["rollout"]))["state"] == "cancelling"
    assert (await do("rollout.show", rollout=undone["rollout"]))["undoes"] == id_
