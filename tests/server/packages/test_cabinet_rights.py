"""Rights of cabinets: who may see, order and change, and that admins always may."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from unittest.mock import AsyncMock

import pytest

from tiercast_protocol.content.package.definition import Definition, canonical
from tiercast_protocol.errors import UsageError
from tiercast_protocol.node.control.verbs import Call
from tiercast_protocol.node.kernel import Peer
from tiercast_server.desired import rows as assignment_rows
from tiercast_server.desired.apply import Asked, Desired
from tiercast_server.desired.document import read
from tiercast_server.jobs.checks import Request
from tiercast_server.nodes.names import names
from tiercast_server.packages import cabinet_rights, cabinets, packages
from tiercast_server.packages.cabinet_rights import Caller, Rights
from tiercast_server.packages.patches import Patches
from tiercast_server.packages.verbs import PackageVerbs
from tiercast_server.rollouts.life import Rules

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
    for wrong in (["a b"], [""], ["a,b"], ["x" * 65], [f"u{n}" for n in range(201)]):
        with pytest.raises(UsageError) as caught:
            await cabinet_rights.set_rights(shut.region, "tools", wrong, [])
        assert caught.value.code == "cabinet.rights"
    await cabinet_rights.set_rights(shut.region, "tools", [], [])
    assert len(await packages.list_(shut.region, None, BOB)) == 1


def by_bob(verb: str, **args: Any) -> Call:
    return Call(verb=verb, args=args, peer=Peer(pid=1, uid=7, gid=7), role="operator", user="bob", cause="c")


async def test_no_verb_about_packages_tells_what_is_not_to_be_read(shut: Any) -> None:
    await shut.package("app", "2")
    await packages.move(shut.region, ["app=2"], "tools", ANN)
    await shut.package("free", "1")
    verbs = PackageVerbs(shut.region, shut.library)
    patches = Patches(shut.region, shut.library, shut.library.store, AsyncMock(), withdraw=AsyncMock())
    for refused in (
        verbs.diff(by_bob("package.diff", package="app=1", **{"with": "free"})),
        verbs.values(by_bob("package.values", package="app", nodes=["pc1"])),
        verbs.tested(by_bob("package.tested", package="app", job="j", undo="k")),
        patches.list_(by_bob("package.patches", package="app")),
        patches.make(by_bob("package.patch", package="app=2", **{"from": "1"})),
    ):
        with pytest.raises(UsageError) as caught:
            await refused
        assert caught.value.code == "cabinet.denied"
    assert await names(shut.region, by_bob("names", kind="package")) == ["free"]
    assert await names(shut.region, by_bob("names", kind="cabinet")) == ["main"]
    async with shut.region.db.read() as connection:
        assert await cabinet_rights.hidden(connection, BOB) == {("app", "1"), ("app", "2")}
        assert await cabinet_rights.hidden(connection, ANN) == set()
    await packages.move(shut.region, ["app=1"], "main", ANN)
    assert (await packages.show(shut.region, "app=1", BOB))["versions"] == ["app=1/1"]


async def test_assignments_are_written_and_taken_back_by_who_may_read_their_packages(shut: Any) -> None:
    desired = Desired(shut.assignments)
    said = {"target": "node pc1", "has": "app"}
    document = read({"assignments": [{"name": "a", **said, "table": said}]})
    bob, ann = Asked("bob", role="operator"), Asked("ann", role="operator")
    with pytest.raises(UsageError, match=r"assignment\.a\.has: cabinet\.denied: bob may not read") as caught:
        await desired.apply(document, bob)
    assert caught.value.code == "desired.invalid"
    await desired.apply(document, ann)
    await shut.package("free", "1")
    for other in (read({"assignments": [{"name": "a", "target": "node pc1", "has": "free", "table": {}}]}), read({})):
        with pytest.raises(UsageError, match=r"cabinet\.denied: bob may not read"):
            await desired.apply(other, replace(bob, prune=True))


async def test_what_an_assignment_orders_later_is_judged_by_who_wrote_it(shut: Any) -> None:
    await shut.says("pc1")
    said = {"target": "node pc1", "has": "app"}
    await Desired(shut.assignments).apply(
        read({"assignments": [{"name": "a", **said, "table": said}]}), Asked("ann", role="operator")
    )
    await cabinet_rights.set_rights(shut.region, "tools", ["carl"], ["carl"])
    assert (await shut.assignments.look()).made == []
    async with shut.region.db.read() as connection:
        (kept,) = await assignment_rows.all_(connection)
        assert [one.code for one in (await assignment_rows.lives(connection, [kept]))["a"].tries.values()] == [
            "cabinet.denied"
        ]


async def test_a_rollout_needs_what_may_be_read(shut: Any) -> None:
    await shut.package("top", "1", definition=canonical(Definition("top", "1", requires=("app",))))
    asked = Request("install", "top", "bob", ("pc1",), role="operator")
    with pytest.raises(UsageError, match="bob may not read the cabinet tools"):
        await shut.rollouts.start(asked, ["100%"], Rules())


async def test_no_version_of_a_package_comes_by_way_of_another_cabinet(shut: Any, build_package: Any) -> None:
    verbs = PackageVerbs(shut.region, shut.library)
    root, chunks = build_package("app", "9", {"a": b"evil"})
    await shut.library.keep(chunks)
    for refused in (
        verbs.entry(by_bob("package.entry", name="app", version="9")),
        verbs.register(by_bob("package.register", root=root, cabinet="main")),
    ):
        with pytest.raises(UsageError, match="bob may not write the cabinet tools"):
            await refused
    with pytest.raises(UsageError) as caught:
        await verbs.register(by_bob("package.register", root=bytes(32), cabinet="main"))
    assert caught.value.code == "package.incomplete"
    await verbs.entry(by_bob("package.entry", name="other", version="1"))
