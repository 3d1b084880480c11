"""A depot that can never hold the package: refused with the figures, as far as anybody can be asked."""

from __future__ import annotations

from typing import Any

import pytest

from tiercast_protocol.errors import UsageError
from tiercast_server.jobs.checks import Request
from tiercast_server.rooms import LONG_S, Rooms
from tiercast_server.tree import Child


def a_request(*targets: str, type_: str = "install", package: str = "app") -> Request:
    return Request(type=type_, package=package, by="t", targets=targets)


async def test_a_depot_on_the_way_is_too_small(world: Any) -> None:
    await world.package("app", "1", {"a": b"x" * 10_000})
    for name, role, parent in (("mid", "gateway", ""), ("low", "gateway", "mid"), ("pc1", "endpoint", "low")):
        await world.join(name, role, parent)
    await world.join("pc2")
    world.tree.answers |= {
        ("mid", "status"): {"depot": {"quota": 0}},
        ("low", "status"): {"depot": {"quota": 50}},
    }
    rooms = Rooms(world.region, world.tree, world.targeting)
    with pytest.raises(UsageError) as caught:
        await rooms.check(a_request("pc1", "pc2"))
    assert caught.value.code == "depot.small"
    assert "low at most 50 bytes" in caught.value.what
    assert "mid" not in caught.value.what
    with pytest.raises(UsageError):
        await rooms.check(a_request("low", type_="preload"))
    await rooms.check(a_request("pc2"))
    await rooms.check(a_request("pc1", type_="remove"))


async def test_who_has_ample_room_is_not_asked_for_a_while(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    await world.package("app", "1", {"a": b"x" * 10_000})
    await world.join("mid", "gateway")
    await world.join("pc1", "endpoint", "mid")
    rooms, now = Rooms(world.region, world.tree, world.targeting), 1000.0
    monkeypatch.setattr("tiercast_server.rooms.time.monotonic", lambda: now)
    world.tree.answers["mid", "status"] = {"depot": {"quota": 1 << 40}}
    await rooms.check(a_request("pc1"))
    world.tree.answers["mid", "status"] = {"depot": {"quota": 50}}
    now += LONG_S / 2
    await rooms.check(a_request("pc1"))
    now += LONG_S
    with pytest.raises(UsageError):
        await rooms.check(a_request("pc1"))


async def test_a_quota_that_was_raised_after_the_refusal_counts_at_once(world: Any) -> None:
    """As the message says: raise it, restart that gateway, order again."""
    await world.package("app", "1", {"a": b"x" * 10_000})
    await world.join("mid", "gateway")
    await world.join("pc1", "endpoint", "mid")
    rooms = Rooms(world.region, world.tree, world.targeting)
    world.tree.answers["mid", "status"] = {"depot": {"quota": 50}}
    with pytest.raises(UsageError):
        await rooms.check(a_request("pc1"))
    world.tree.answers["mid", "status"] = {"depot": {"quota": 20_000}}
    await rooms.check(a_request("pc1"))


async def test_who_said_it_as_he_connected_is_not_asked(world: Any) -> None:
    await world.package("app", "1", {"a": b"x" * 10_000})
    for name, parent in (("mid", ""), ("old", ""), ("low", "mid")):
        await world.join(name, "gateway", parent)
    for name, parent in (("pc1", "low"), ("pc2", "old")):
        await world.join(name, "endpoint", parent)
    old = Child("old", online=True, since=1)
    world.tree.present = [Child("mid", online=True, since=1, quota=0), old]
    asked: list[str] = []
    answer = world.tree.ask

    async def ask(node: str, verb: str, args: dict[str, Any], *, deadline: float) -> Any:
        asked.append(node)
        return await answer(node, verb, args, deadline=deadline)

    world.tree.ask = ask
    world.tree.answers |= {(name, "status"): {"depot": {"quota": 1 << 40}} for name in ("mid", "old", "low")}
    rooms = Rooms(world.region, world.tree, world.targeting)
    await rooms.check(a_request("pc1", "pc2"))
    assert sorted(asked) == ["low", "old"], "an older gateway says nothing of it, nor does one that is no child"
    world.tree.present = [
        Child("mid", online=True, since=2, quota=50),
        old,
    ]  # it was restarted with another one, and connected again
    with pytest.raises(UsageError) as caught:
        await rooms.check(a_request("pc1"))
    assert "mid at most 50 bytes" in caught.value.what
    world.tree.present = [Child("mid", online=False, since=3, quota=50), old]
    world.tree.answers["mid", "status"] = {"depot": {"quota": 20_000}}
    await rooms.check(a_request("pc1"))
    assert asked[2:] == ["mid"], "what it said last is no word of now"


async def test_who_does_not_answer_stops_nobody(world: Any) -> None:
    await world.package("app", "1")
    await world.join("mid", "gateway")
    await world.join("pc1", "endpoint", "mid")
    rooms = Rooms(world.region, world.tree, world.targeting)
    await rooms.check(a_request("pc1"))
    world.tree.answers["mid", "status"] = {"depot": {"quota": 1}}
    await rooms.check(a_request("pc1"))  # it was asked a moment ago
    with pytest.raises(UsageError):
        await Rooms(world.region, world.tree, world.targeting).check(a_request("pc1"))
    await Rooms(world.region, world.tree, world.targeting).check(a_request("pc1", package="nothing"))
