"""Rights of cabinets: who may see, order and change, and that admins always may."""

from __future__ import annotations

from typing import Any

import pytest

from tiercast_protocol.errors import UsageError
from tiercast_server.jobs.checks import Request
from tiercast_server.packages import cabinet_rights, cabinets, packages
from tiercast_server.packages.cabinet_rights import Caller, Rights

ANN, BOB, ROOT = Caller("ann", "operator"), Caller("bob", "operator"), Caller("root", "admin")


@pytest.mark.parametrize(
    ("rights", "caller", "read", "write"),
    [
        (Rights(), BOB, True, True),
        (Rights(readers=frozenset({"ann"})), BOB, False, True),
        (Rights(readers=frozenset({"ann"}), writers=frozenset({"bob"})), BOB, True, True),
        (Rights(writers=frozenset({"ann"})), BOB, True, False),
        (Rights(frozenset({"ann"}), frozenset({"ann"})), ROOT, True, True),
    ],
)
def test_who_may(rights: Rights, caller: Caller, read: bool, write: bool) -> None:
    assert (rights.allow(caller, "read"), rights.allow(caller, "write")) == (read, write)


@pytest.fixture(name="shut")
async def _shut(world: Any) -> Any:
    await cabinets.add(world.region, "tools", "")
    await world.package("app", "1")
    await world.join("pc1")
    await packages.move(world.region, ["app"], "tools", ANN)
    await cabinet_rights.set_rights(world.region, "tools", ["ann"], ["ann"])
    return world


async def test_what_is_not_to_be_read_is_not_listed_shown_or_ordered(shut: Any) -> None:
    assert [row["package"] for row in await packages.list_(shut.region, None, ANN)] == ["app"]
    assert await packages.list_(shut.region, None, BOB) == []
    asked = {"type": "install", "package": "app", "targets": ("pc1",)}
    for refused in (
        packages.list_(shut.region, "tools", BOB),
        packages.show(shut.region, "app", BOB),
        packages.move(shut.region, ["app"], "main", BOB),
        packages.enter(shut.region, "app", "2", "tools", "bob", BOB),
        shut.jobs.create(Request(**asked, by="bob", role="operator")),
    ):
        with pytest.raises(UsageError, match="bob may not") as caught:
            await refused
        assert caught.value.code == "cabinet.denied"
    assert (await shut.jobs.create(Request(**asked, by="ann", role="operator")))["targets"] == 1


async def test_rights_go_with_a_new_name(shut: Any) -> None:
    await cabinets.rename(shut.region, "tools", "office")
    assert (await packages.show(shut.region, "app", ANN))["cabinet"] == "office"
    with pytest.raises(UsageError, match="bob may not read the cabinet office"):
        await packages.show(shut.region, "app", BOB)


async def test_what_can_not_be_a_name(shut: Any) -> None:
    for names in (["a b"], [""], ["a,b"], ["x" * 65], [f"u{n}" for n in range(201)]):
        with pytest.raises(UsageError) as caught:
            await cabinet_rights.set_rights(shut.region, "tools", names, [])
        assert caught.value.code == "cabinet.rights"
    await cabinet_rights.set_rights(shut.region, "tools", [], [])
    assert len(await packages.list_(shut.region, None, BOB)) == 1
