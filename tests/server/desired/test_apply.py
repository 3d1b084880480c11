"""Documents that are applied: what changes, what is refused, and what stays as it is."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tiercast_protocol.errors import UsageError
from tiercast_server.desired import rows as assignment_rows
from tiercast_server.desired.apply import Asked, Desired
from tiercast_server.desired.document import Document, plain, read

ANN = Asked("ann")


def assignment(name: str, target: str = "group all", **more: Any) -> dict[str, Any]:
    """As the command line sends it: the table is what was typed."""
    return {"name": name, "target": target, **more, "table": {"target": target, **more}}


def document(**more: Any) -> Document:
    return read(
        {
            "groups": [{"name": "all", "members": ["pc1", "pc2"]}],
            "assignments": [assignment("app", has="app >= 1")],
            **more,
        }
    )


async def region_of(world: Any) -> Desired:
    for version in ("1", "2"):
        await world.package("app", version, {"a": version.encode()})
    for name in ("pc1", "pc2"):
        await world.join(name)
        await world.says(name)
    return Desired(world.assignments)


async def refused(desired: Desired, wanted: Document, asked: Asked = ANN) -> str:
    before = plain(await desired.export())
    with pytest.raises(UsageError) as caught:
        await desired.apply(wanted, asked)
    assert plain(await desired.export()) == before
    return caught.value.what


async def test_what_was_applied_is_exported_and_applies_to_nothing(world: Any) -> None:
    desired = await region_of(world)
    window = {"name": "night", "open": "mon-fri 22:00-06:00"}
    wanted = document(windows=[window], assignments=[assignment("app", has="app = 1", window=["night"])])
    found = await desired.apply(wanted, ANN)
    assert [(one["kind"], one["name"], one["change"]) for one in found["changes"]] == [
        ("group", "all", "added"),
        ("window", "night", "added"),
        ("assignment", "app", "added"),
    ]
    assert found["number"] == 1
    assert found["targets"] == 2
    (machines,) = found["machines"]
    assert machines["counts"] == {"missing": 2}
    assert plain(await desired.export()) == plain(wanted)
    for prune in (False, True):
        again = await desired.apply(await desired.export(), Asked("ann", prune=prune))
        assert (again["changes"], again["number"]) == ([], 0)


async def test_a_dry_run_shows_the_same_and_changes_nothing(world: Any) -> None:
    desired = await region_of(world)
    found = await desired.apply(document(), Asked("ann", dry_run=True))
    assert [one["change"] for one in found["changes"]] == ["added", "added"]
    assert found["number"] == 0
    assert plain(await desired.export()) == plain(Document())
    assert (await world.assignments.look()).made == []


async def test_what_is_not_named_stays_unless_it_is_pruned(world: Any) -> None:
    desired = await region_of(world)
    await desired.apply(document(windows=[{"name": "night", "open": "daily 22:00-23:00"}]), ANN)
    rest = read({"groups": [{"name": "all", "members": ["pc1"]}]})
    kept = await desired.apply(rest, ANN)
    assert [(one["name"], one["change"], one["differs"]) for one in kept["changes"]] == [
        ("all", "changed", ["1 fewer: pc2"])
    ]
    gone = await desired.apply(rest, Asked("ann", prune=True))
    assert [(one["name"], one["change"]) for one in gone["changes"]] == [("night", "removed"), ("app", "removed")]


async def test_earlier_definitions_come_back(world: Any) -> None:
    desired = await region_of(world)
    await desired.apply(document(), ANN)
    before = plain(await desired.export())
    other = document(assignments=[assignment("app", lacks="app"), assignment("new", "node pc1", has="app = 1")])
    assert "assignment.contradiction" in await refused(desired, other)
    await desired.apply(document(assignments=[assignment("app", has="app >= 2", note="why")]), ANN)
    found = await desired.again(1, Asked("bob", "again 1"))
    (change,) = found["changes"]
    assert change["differs"] == ["has: 'app >= 2' -> 'app >= 1'", "note: 'why' -> nothing"]
    assert plain(await desired.export()) == before
    async with world.region.db.read() as connection:
        history = await assignment_rows.history(connection, 9)
    assert [(one["number"], one["by"], one["how"]) for one in history] == [
        (3, "bob", "again 1"),
        (2, "ann", "apply"),
        (1, "ann", "apply"),
    ]
    with pytest.raises(UsageError) as caught:
        await desired.again(9, ANN)
    assert caught.value.code == "change.unknown"


async def test_all_mistakes_are_told_at_once_with_their_lines(world: Any) -> None:
    desired = await region_of(world)
    wrong = read(
        {
            "groups": [
                {"name": "all", "members": ["pc1", "pc3", "pc1"]},
                {"name": "old", "where": "nothing == 1"},
                {"name": "both", "where": "cpus > 1", "members": ["pc1"]},
            ],
            "windows": [{"name": "night", "open": "at night"}],
            "assignments": [
                assignment("a", "node pc1", has="nothing"),
                assignment("b", "node pc1", has="app >= 9"),
                assignment("c", "node pc9", lacks="app"),
                assignment("d", "node pc1"),
                assignment("e", "node pc1", has="app", window=["day"]),
                assignment("f", "node pc1", has="app => 2"),
                assignment("g", "node pc1", has="app", options={"install_tries": 0}),
                assignment("h", "group old", has="app"),
            ],
        }
    )
    asked = Asked("ann", lines={"group.all": 1, "assignment.b": 7, "assignment.b.has": 8})
    said = await refused(desired, wrong, asked)
    assert said.startswith("12 mistakes in the document:\n")
    for part in (
        "line 1, group.all.members: named twice: pc1",
        "line 1, group.all.members: no node is called 'pc3'",
        "group.old.where: fact.unknown",
        "group.both: a group by expression has no other members",
        "window.night.open: window.invalid",
        "assignment.a.has: package.unknown: no package is called 'nothing'",
        "line 8, assignment.b.has: package.unknown: no version of app is app >= 9; there are: 1, 2",
        "assignment.c: node.unknown: No node is called 'pc9'",
        "assignment.d: it says neither `has` nor `lacks`",
        "assignment.e: window.unknown",
        "assignment.f.has: 'app => 2'",
        "assignment.g: times.install_tries",
    ):
        assert part in said, part


async def test_assignments_that_contradict_each_other_are_both_named(world: Any) -> None:
    desired = await region_of(world)
    both = document(assignments=[assignment("a", has="app >= 2"), assignment("b", "node pc2", has="app < 2")])
    said = await refused(desired, both)
    assert "it says has app >= 2, and b says has app < 2; no version of app does for both, and both are for pc2" in said
    apart = document(
        assignments=[assignment("a", "node pc1", has="app >= 2"), assignment("b", "node pc2", lacks="app")]
    )
    await desired.apply(apart, ANN)
    joined = document(assignments=[assignment("a", has="app >= 2")])
    assert "assignment.contradiction" in await refused(desired, joined)
    paused = document(assignments=[assignment("a", has="app >= 2", paused=True)])
    await desired.apply(paused, ANN)


async def test_groups_of_every_kind(world: Any) -> None:
    desired = await region_of(world)
    await world.says("pc1", cpus=8, groups=["mine"])
    wanted = read(
        {
            "groups": [
                {"name": "big", "where": "cpus > 4"},
                {"name": "mine", "self_join": True, "members": ["pc2"]},
            ]
        }
    )
    await desired.apply(wanted, ANN)
    assert (await world.groups.show("big"))["members"] == ["pc1"]
    mine = await world.groups.show("mine")
    assert (mine["members"], mine["by_itself"]) == (["pc1", "pc2"], ["pc1"])
    assert (await desired.apply(await desired.export(), Asked("ann", prune=True)))["changes"] == []
    # named, who joined by himself is there by an administrator's word
    await desired.apply(read({"groups": [{"name": "mine", "self_join": True, "members": ["pc1", "pc2"]}]}), ANN)
    assert (await world.groups.show("mine"))["by_itself"] == []
    await desired.apply(read({"groups": [{"name": "big", "members": ["pc2"]}]}), ANN)
    assert (await world.groups.show("big"))["members"] == ["pc2"]


async def test_who_comes_into_a_group_gets_the_jobs_that_follow_it(world: Any) -> None:
    desired = await region_of(world)
    await desired.apply(read({"groups": [{"name": "all", "members": ["pc1"]}]}), ANN)
    job = await world.job(package="app=1", groups=("all",))
    await desired.apply(read({"groups": [{"name": "all", "members": ["pc1", "pc2"]}]}), ANN)
    assert [row["node"] for row in (await world.view.show(job))["targets"]] == ["pc1", "pc2"]


async def test_many_machines_want_their_number(world: Any) -> None:
    desired = await region_of(world)
    world.jobs.confirm_above = 1
    assert "2 machines" in await refused(desired, document())
    assert "3 machines were confirmed" in await refused(desired, document(), Asked("ann", confirm=3))
    await desired.apply(document(), Asked("ann", confirm=2))


async def test_nobody_is_a_warning(world: Any) -> None:
    desired = await region_of(world)
    found = await desired.apply(document(groups=[{"name": "all"}]), ANN)
    assert found["warnings"] == ["The assignment app is for nobody yet."]


async def test_another_assignment_that_broke_meanwhile_hinders_nobody(world: Any) -> None:
    desired = await region_of(world)
    await desired.apply(document(), ANN)
    for name in ("pc1", "pc2"):
        await world.enrolment.remove(name)
    await desired.apply(read({"windows": [{"name": "night", "open": "daily 22:00-23:00"}]}), ANN)


NAMES = st.sampled_from(["pc1", "pc2"])
GROUPS = st.lists(NAMES, unique=True, max_size=2).map(lambda names: {"members": names}) | st.sampled_from(
    [{"where": "cpus > 1"}, {"self_join": True}, {"members": ["pc1"], "install_window": "daily 20:00-23:30"}]
)
ASSIGNMENTS = st.fixed_dictionaries(
    {"target": st.sampled_from(["group g0", "node pc1", "below server minus node pc2"])},
    optional={"note": st.text(max_size=5), "paused": st.just(True), "window": st.just(["w0"])},
).flatmap(lambda one: st.sampled_from(["app", "app >= 1", "app = 2"]).map(lambda text: {**one, "has": text}))


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(st.lists(GROUPS, min_size=1, max_size=3), st.lists(ASSIGNMENTS, max_size=1))
async def test_apply_of_export_changes_nothing(world: Any, groups: list[Any], some: list[Any]) -> None:
    desired = Desired(world.assignments)
    if "pc1" not in world.nodes:
        await region_of(world)
    wanted = {
        "groups": [{"name": f"g{n}", **one} for n, one in enumerate(groups)],
        "windows": [{"name": "w0", "open": "daily 22:00-23:00"}],
        "assignments": [{"name": f"a{n}", **one, "table": one} for n, one in enumerate(some)],
    }
    await desired.apply(read(wanted), Asked("ann", prune=True))
    out = await desired.export()
    assert (await desired.apply(read(plain(out)), Asked("ann", prune=True)))["changes"] == []
    assert plain(await desired.export()) == plain(out)


async def test_an_assignment_that_windows_of_groups_never_let_begin_is_refused(world: Any) -> None:
    desired = await region_of(world)
    await world.groups.add("night", ("pc1",))
    await world.groups.add("noon", ("pc1",))
    await world.groups.set_window("night", "daily 22:00-05:00")
    await desired.apply(document(assignments=[assignment("a", has="app >= 2")]), ANN)
    await world.groups.set_window("noon", "daily 12:00-13:00")
    said = await refused(desired, document(assignments=[assignment("b", "node pc1", has="app >= 1")]))
    assert "window.apart" in said
