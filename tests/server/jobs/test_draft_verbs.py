"""Drafts, copies, templates: nothing is ordered before it is started, and then once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tiercast_protocol.errors import UsageError
from tiercast_server.jobs.draft_verbs import DraftVerbs
from tiercast_server.jobs.requests import forget
from tiercast_server.jobs.verbs import JobVerbs

WANTED = {"type": "install", "package": "app", "targets": ["pc1"], "note": "n", "folder": "a/b"}


@pytest.fixture(name="verbs")
def _verbs(world: Any) -> DraftVerbs:
    return DraftVerbs(world.region, JobVerbs(world.jobs, world.view))


async def _refused(work: Any, code: str) -> UsageError:
    with pytest.raises(UsageError) as caught:
        await work
    assert caught.value.code == code, caught.value
    return caught.value


async def test_a_draft_orders_nothing_until_it_is_started(world: Any, call: Any, verbs: DraftVerbs) -> None:
    jobs = JobVerbs(world.jobs, world.view)
    draft = (await verbs.draft(call("job.draft", **WANTED)))["job"]
    await world.handover.drain()
    assert world.orders() == []
    shown = await jobs.show(call("job.show", job=draft))
    assert (shown["state"], shown["folder"], shown["request"]["package"]) == ("draft", "a/b", "app")
    for work in (
        jobs.cancel(call("job.cancel", job=draft)),
        jobs.receipt(call("job.receipt", job=draft, node="pc1")),
        world.jobs.set_terms(draft, {"priority": 9}, []),
        anext(jobs.watch(call("job.watch", job=draft))),
    ):
        assert f"job start {draft}" in (await _refused(work, "job.draft")).todo
    await _refused(verbs.start(call("job.start", job=draft)), "node.unknown")
    await world.package("app", "1")
    await world.join("pc1")
    assert (await verbs.start(call("job.start", job=draft.partition("-")[0])))["job"] == draft
    await world.handover.drain()
    ((order, names),) = world.orders()
    assert (order.job, order.type, names) == (draft, "install", ["pc1"])
    shown = await jobs.show(call("job.show", job=draft))
    assert (shown["state"], shown["note"], shown["folder"]) == ("open", "n", "a/b")
    assert "started already" in (await _refused(verbs.start(call("job.start", job=draft)), "job.open")).todo.lower()
    for unknown in ("j99", "9" * 40, "", "j"):
        await _refused(verbs.start(call("job.start", job=unknown)), "job.unknown")


async def test_a_draft_is_edited_word_by_word_and_checked(world: Any, call: Any, verbs: DraftVerbs) -> None:
    jobs = JobVerbs(world.jobs, world.view)
    said = {"install_window": "daily 22:00-05:00", "spread_s": 60}
    draft = (await verbs.draft(call("job.draft", **WANTED, options=said)))["job"]
    edited = await verbs.edit(
        call("job.edit", job=draft, set={"package": "app=2", "note": ""}, options={"tries": 3}, clear=["spread"])
    )
    assert edited == {"job": draft, "draft": True, "folder": "a/b"}
    shown = await jobs.show(call("job.show", job=draft))
    assert (shown["about"], shown["request"]["package"], shown["request"]["targets"]) == ("app=2", "app=2", ["pc1"])
    assert shown["request"]["options"] == {"install_window": "daily 22:00-05:00", "tries": 3}
    error = await _refused(verbs.edit(call("job.edit", job=draft, clear=["deadline"])), "draft.word")
    assert "install_window, note" not in error.todo
    assert "install_window, package, targets, tries" in error.todo
    await _refused(verbs.edit(call("job.edit", job=draft, set={"type": "remove"})), "draft.type")
    await _refused(verbs.edit(call("job.edit", job=draft, options={"tries": 0})), "times.tries")
    await _refused(verbs.edit(call("job.edit", job=draft, clear=["package"])), "package.missing")
    assert (await jobs.show(call("job.show", job=draft))) == shown, "what was refused changed nothing"
    await world.package("app", "2")
    await world.join("pc1")
    await verbs.start(call("job.start", job=draft))
    await _refused(verbs.edit(call("job.edit", job=draft, set={"note": "late"})), "job.open")


async def test_two_starts_make_one_job(world: Any, call: Any, verbs: DraftVerbs) -> None:
    await world.package("app", "1")
    await world.join("pc1")
    draft = (await verbs.draft(call("job.draft", **WANTED)))["job"]
    results = await asyncio.gather(
        *(verbs.start(call("job.start", job=draft)) for _ in range(3)), return_exceptions=True
    )
    assert sum(isinstance(result, dict) for result in results) == 1
    assert {result.code for result in results if isinstance(result, UsageError)} <= {"draft.unknown", "job.open"}
    await world.handover.drain()
    assert len(world.orders()) == 1


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"type": "sing"}, "type.unknown"),
        ({"type": "collect", "package": ""}, "type.reserved"),
        ({"package": ""}, "package.missing"),
        ({"type": "run"}, "package.needless"),
        ({"type": "run", "package": ""}, "run.argv"),
        ({"expires_s": 0}, "expiry.invalid"),
        ({"folder": "../x"}, "folder.invalid"),
        ({"targets": "pc1"}, "argument.invalid"),
        ({"target": "group"}, "target.syntax"),
        ({"options": {"install_window": "someday"}}, "window.invalid"),
        ({"options": {"install_tries": 0}}, "times.install_tries"),
        ({"options": {"priority": 99}}, "transfer.priority"),
    ],
)
async def test_a_draft_that_could_never_work_is_not_kept(
    world: Any, call: Any, verbs: DraftVerbs, more: dict[str, Any], code: str
) -> None:
    await _refused(verbs.draft(call("job.draft", **{**WANTED, **more})), code)
    assert await world.view.list_(10) == []


async def test_a_draft_is_forgotten_and_a_job_keeps_what_it_was_asked_with(
    world: Any, call: Any, verbs: DraftVerbs
) -> None:
    jobs = JobVerbs(world.jobs, world.view)
    await world.package("app", "1")
    await world.join("pc1")
    draft = (await verbs.draft(call("job.draft", **WANTED)))["job"]
    assert await jobs.delete(call("job.delete", job=draft)) == {"job": draft}
    await _refused(jobs.show(call("job.show", job=draft)), "job.unknown")
    job = (await jobs.create(call("job.create", **WANTED)))["job"]
    await _refused(jobs.delete(call("job.delete", job=job)), "job.open")
    copy = (await verbs.copy(call("job.copy", job=job)))["job"]
    assert copy != job
    request = (await jobs.show(call("job.show", job=copy)))["request"]
    assert request == {**{key: value for key, value in WANTED.items() if key != "folder"}, "options": {}}
    again = (await verbs.copy(call("job.copy", job=copy, folder="c")))["job"]
    assert (await jobs.show(call("job.show", job=again)))["folder"] == "c"
    assert (await verbs.move(call("job.move", job=job, folder="d/e"))) == {"job": job, "folder": "d/e"}
    assert (await jobs.show(call("job.show", job=job)))["folder"] == "d/e"
    await world.intake.take([world.record(job, "pc1", "done")])
    await jobs.delete(call("job.delete", job=job))
    await _refused(verbs.copy(call("job.copy", job=job)), "job.unknown")


async def test_folders_are_there_while_something_is_in_them(world: Any, call: Any, verbs: DraftVerbs) -> None:
    jobs = JobVerbs(world.jobs, world.view)
    await world.package("app", "1")
    await world.join("pc1")
    await jobs.create(call("job.create", **WANTED))
    draft = (await verbs.draft(call("job.draft", **WANTED)))["job"]
    await verbs.draft(call("job.draft", **{**WANTED, "folder": ""}))
    expected = [{"folder": "", "jobs": 0, "drafts": 1}, {"folder": "a/b", "jobs": 1, "drafts": 1}]
    assert await verbs.folders(call("job.folders")) == expected
    await verbs.move(call("job.move", job=draft, folder="c"))
    assert [one["folder"] for one in await verbs.folders(call("job.folders"))] == ["", "a/b", "c"]
    await jobs.delete(call("job.delete", job=draft))
    assert [one["folder"] for one in await verbs.folders(call("job.folders"))] == ["", "a/b"]


async def test_a_copy_leaves_times_out_that_are_over(world: Any, call: Any, verbs: DraftVerbs) -> None:
    options = {"install_at": world.now[0] + 1000, "deadline": world.now[0] + 9000, "spread_s": 5}
    draft = (await verbs.draft(call("job.draft", **WANTED, options=options)))["job"]
    world.now[0] += 2000
    copy = await verbs.copy(call("job.copy", job=draft))
    assert copy["dropped"] == ["install_at"]
    request = (await JobVerbs(world.jobs, world.view).show(call("job.show", job=copy["job"])))["request"]
    assert request["options"].keys() == {"deadline", "spread_s"}


async def test_a_job_of_which_no_request_was_kept(world: Any, call: Any, verbs: DraftVerbs) -> None:
    jobs = JobVerbs(world.jobs, world.view)
    await world.package("app", "1")
    await world.join("pc1")
    job = (await jobs.create(call("job.create", **WANTED)))["job"]
    async with world.region.db.write() as connection:
        await forget(connection, job)
    copy = (await verbs.copy(call("job.copy", job=job)))["job"]
    request = (await jobs.show(call("job.show", job=copy)))["request"]
    assert (request["package"], request["targets"], request["note"]) == ("app=1/1", ["pc1"], "n")
    await verbs.move(call("job.move", job=job, folder="x"))
    assert (await jobs.show(call("job.show", job=job)))["folder"] == "x"


async def test_a_template_becomes_a_draft_or_a_job(world: Any, call: Any, verbs: DraftVerbs) -> None:
    await world.package("app", "1")
    await world.join("pc1")
    marked = {**WANTED, "package": "app={version}", "note": "{why}"}
    draft = (await verbs.draft(call("job.draft", **marked)))["job"]
    saved = await verbs.save_template(
        call("job.template.save", job=draft, name="nightly", parameters=["version", "why=as usual", "on"], note="N")
    )
    assert saved == {"template": "nightly", "parameters": {"version": None, "why": "as usual", "on": None}}
    (listed,) = await verbs.templates(call("job.template.list"))
    assert (listed["template"], listed["about"], listed["note"]) == ("nightly", "app={version}", "N")
    assert (await verbs.template(call("job.template.show", name="nightly")))["request"]["note"] == "{why}"
    missing = await _refused(
        verbs.from_template(call("job.from", name="nightly", set={"on": "pc1"})), "template.missing"
    )
    assert "'version'" in missing.what
    given = {"version": "1", "on": "pc1"}
    kept = await verbs.from_template(call("job.from", name="nightly", set=given, draft=True, folder="f"))
    assert kept["draft"]
    await world.handover.drain()
    assert world.orders() == []
    made = await verbs.from_template(call("job.from", name="nightly", set=given))
    assert made["targets"] == 1
    shown = await world.view.show(made["job"])
    assert (shown["package"], shown["version"], shown["note"]) == ("app", "1", "as usual")
    await _refused(
        verbs.from_template(call("job.from", name="nightly", set={**given, "version": "9"})), "package.unknown"
    )
    await _refused(verbs.from_template(call("job.from", name="nightly", set={"version": 1})), "argument.invalid")
    await verbs.delete_template(call("job.template.delete", name="nightly"))
    await _refused(verbs.from_template(call("job.from", name="nightly", set=given)), "template.unknown")
