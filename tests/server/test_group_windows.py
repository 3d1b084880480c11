"""Windows of groups in the region: told to whom they are for, before any order, and looked at when one is given."""

from __future__ import annotations

from typing import Any

import pytest

from tiercast_protocol.content.jobs.groupwindows import open_windows
from tiercast_protocol.errors import UsageError
from tiercast_protocol.wire.messages import OrderBundle
from tiercast_protocol.wire.site import WindowsTold
from tiercast_server.jobs.checks import Request
from tiercast_server.jobs.reruns import Reruns
from tiercast_server.rollouts import view as rollout_view
from tiercast_server.rollouts.life import Rules

NIGHT, NOON = "daily 22:00-05:00", "daily 12:00-13:00"


async def region_of(world: Any) -> None:
    await world.package("app", "1")
    for name in ("pc1", "pc2"):
        await world.join(name)
    await world.groups.add("sales", ("pc1", "pc2"))
    await world.groups.add("kiosks", ("pc2",))


async def told(world: Any) -> list[tuple[str, list[tuple[str, str]]]]:
    await world.handover.drain()
    found = []
    for to, message in world.tree.said:
        if isinstance(message, WindowsTold):
            said = open_windows(message.data, message.signature, world.region.key.public)
            assert said.node == to
            found.append((to, said.windows))
    return found


async def test_members_are_told_what_changed_and_nobody_else(world: Any) -> None:
    await region_of(world)
    assert await told(world) == []
    assert (await world.groups.set_window("sales", NIGHT))["told"] == 2
    assert await told(world) == [("pc1", [("sales", NIGHT)]), ("pc2", [("sales", NIGHT)])]
    assert (await world.groups.set_window("sales", NIGHT))["told"] == 0
    await world.groups.set_window("kiosks", NOON)
    assert (await told(world))[2:] == [("pc2", [("kiosks", NOON), ("sales", NIGHT)])]
    await world.groups.leave("sales", ["pc2"])
    await world.groups.set_window("sales", "")
    await world.groups.remove("kiosks")
    assert (await told(world))[3:] == [("pc2", [("kiosks", NOON)]), ("pc1", []), ("pc2", [])]
    assert (await world.groups.show("sales"))["window"] == ""


async def test_a_newcomer_hears_of_the_window_before_the_order(world: Any) -> None:
    await region_of(world)
    await world.groups.set_window("sales", NIGHT)
    await world.job(groups=("sales",), expires_s=7 * 86_400)
    await world.join("pc3")
    await world.groups.join("sales", ["pc3"])
    await world.handover.drain()
    kinds = [
        type(message)
        for to, message in world.tree.said
        if (to == "pc3" and isinstance(message, WindowsTold))
        or (isinstance(message, OrderBundle) and message.targets[0].node == "pc3")
    ]
    assert kinds == [WindowsTold, OrderBundle]
    await world.join("pc1", replace=True)
    assert (await told(world))[-1] == ("pc1", [("sales", NIGHT)]), "another key, another machine"


@pytest.mark.parametrize("of_job", [False, True])
async def test_what_is_never_open_together_is_refused_with_both_names(world: Any, of_job: bool) -> None:
    await region_of(world)
    await world.groups.set_window("sales", NIGHT)
    options = {"install_window": NOON} if of_job else {}
    if not of_job:
        await world.groups.set_window("kiosks", NOON)
    with pytest.raises(UsageError) as caught:
        await world.job(targets=("pc1", "pc2"), options=options, expires_s=7 * 86_400)
    assert caught.value.code == "window.apart"
    assert f"group sales: {NIGHT}" in caught.value.what
    assert NOON in caught.value.what
    await world.job("run", "", targets=("pc2",), options={"argv": '["/bin/true"]', "run_timeout_s": 5})


@pytest.mark.parametrize(("text", "code"), [("whenever", "window.invalid"), ("daily 00:00-24:00 0", "window.never")])
async def test_a_window_that_can_not_be(world: Any, text: str, code: str) -> None:
    await region_of(world)
    with pytest.raises(UsageError) as caught:
        await world.groups.set_window("sales", text)
    assert caught.value.code in {code, "window.invalid"}
    with pytest.raises(UsageError) as caught:
        await world.groups.set_window("nobody", NIGHT)
    assert caught.value.code == "group.unknown"


async def test_reruns_and_rollouts_are_refused_likewise(world: Any) -> None:
    await region_of(world)
    job = await world.job(targets=("pc2",), options={"install_window": NOON}, expires_s=7 * 86_400)
    await world.intake.take([world.record(job, "pc2", "failed")])
    await world.groups.set_window("sales", NIGHT)
    with pytest.raises(UsageError) as caught:
        await Reruns(world.jobs).rerun(job, failed=True, unreached=False, by="me")
    assert caught.value.code == "window.apart"
    await world.groups.set_window("kiosks", NOON)
    asked = Request(type="install", package="app", by="ann", targets=("pc1", "pc2"), expires_s=7 * 86_400)
    with pytest.raises(UsageError, match="never open together"):
        await world.rollouts.start(asked, ("1", "rest"), Rules())


async def test_a_wave_whose_windows_came_apart_meanwhile_pauses_its_rollout(world: Any) -> None:
    await region_of(world)
    asked = Request(type="install", package="app", by="ann", targets=("pc1", "pc2"), expires_s=7 * 86_400)
    made = await world.rollouts.start(asked, ("node pc1", "rest"), Rules())
    await world.groups.set_window("sales", NIGHT)
    await world.groups.set_window("kiosks", NOON)
    await world.intake.take([world.record(made["jobs"][0], "pc1", "done")])
    await world.rollouts.look()
    shown = await rollout_view.show(world.region, made["rollout"])
    assert shown["state"] == "paused"
    assert "window.apart" in str(shown) or "never open together" in str(shown)
