"""The verbs of drafts, copies, templates and folders.

Rules
- A draft is checked as far as it can be without its targets and its package, which may not be there yet; starting it is
  `job.create` with what it keeps, and checks all.
- A copy and a template are made of what a job was asked with, not of what became of it: "hello" stays the newest hello.
- A filled template goes the way of every other request: as a draft, or as a job at once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any, Protocol

from sqlalchemy import select

from tiercast_protocol.content.jobs import jobtypes
from tiercast_protocol.content.jobs.times import read as read_times
from tiercast_protocol.errors import UsageError
from tiercast_protocol.node.control.verbs import Call, Verbs
from tiercast_protocol.transfer.terms import job_words
from tiercast_server.database.tables import targets
from tiercast_server.jobs import requests, templates
from tiercast_server.jobs import rows as job_rows
from tiercast_server.jobs.checks import Request, checked
from tiercast_server.jobs.requests import Kept
from tiercast_server.jobs.reruns import again
from tiercast_server.jobs.template_fill import ALIASES, WORDS, declare, fill
from tiercast_server.region import Region

Handler = Callable[[Call], Awaitable[Any]]


class Creating(Protocol):
    """Reads requests and creates jobs (`JobVerbs`)."""

    def request(self, call: Call) -> Request:
        """The request in a call's arguments."""
        ...

    async def create(self, call: Call, draft: str = "") -> dict[str, Any]:
        """Create a job, perhaps the start of a draft."""
        ...


class DraftVerbs:
    """Handlers; each takes a call and gives plain values."""

    def __init__(self, region: Region, jobs: Creating) -> None:
        self._region, self._jobs = region, jobs

    async def draft(self, call: Call) -> dict[str, Any]:
        """Keep a request without carrying it out."""
        _checked(self._jobs.request(call))
        return await self._keep(call, call.args, call.text("folder", ""))

    async def edit(self, call: Call) -> dict[str, Any]:
        """Other words in a draft: `set` its arguments, `options` of its order; `clear` takes words out."""
        name, clear = call.text("job"), call.texts("clear", [])
        said, options = call.mapping("set", {}), call.mapping("options", {})
        async with self._region.db.write() as connection:
            draft = await requests.find_draft(connection, name)
            if draft is None:
                job = await job_rows.get(connection, name)
                jobtypes.check("edit", type_=job.type, state=job.shown_state, job=job.id)
                raise AssertionError("a job is never a draft")
            if "type" in said:
                raise UsageError("draft.type", "The type of a draft stays.", todo="Make another draft.")
            args = _cleared(draft.request, clear) | said
            args["options"] = {**(args.get("options") or {}), **options}
            _checked(self._jobs.request(replace(call, args=args)))
            await requests.rewrite(connection, draft.job, args)
        return {"job": draft.job, "draft": True, "folder": draft.folder}

    async def start(self, call: Call) -> dict[str, Any]:
        """Carry out a draft."""
        name = call.text("job")
        async with self._region.db.read() as connection:
            draft = await requests.find_draft(connection, name)
            if draft is None:  # a job says what it is; nothing says that it is unknown
                job = await job_rows.get(connection, name)
                jobtypes.check("start", type_=job.type, state=job.shown_state, job=job.id)
                raise AssertionError("a job is never a draft")
        more: dict[str, Any] = {key: call.args[key] for key in ("confirm", "dry_run") if key in call.args}
        args: dict[str, Any] = {**draft.request, "folder": draft.folder, **more}
        return await self._jobs.create(replace(call, args=args), draft.job)

    async def copy(self, call: Call) -> dict[str, Any]:
        """A draft like a job, or like another draft, without the times that are over."""
        _, args, folder = await self._asked(call.text("job"))
        options, dropped = again(args.get("options") or {}, self._region.clock())
        kept = await self._keep(call, {**args, "options": options}, call.text("folder", folder))
        return kept | {"dropped": dropped}

    async def move(self, call: Call) -> dict[str, Any]:
        """Put a job or a draft into a folder."""
        job, args, _ = await self._asked(call.text("job"))
        folder = requests.check_folder(call.text("folder"))
        async with self._region.db.write() as connection:
            if not await requests.move(connection, job, folder):
                found = await job_rows.get(connection, job)  # of before requests were kept
                kept = Kept(args, folder)
                identity = (found.id, found.number)
                await requests.keep(connection, identity, kept, found.created_by, found.created, draft=False)
        return {"job": job, "folder": folder}

    async def folders(self, _call: Call) -> list[dict[str, Any]]:
        """Every folder in which something is."""
        async with self._region.db.read() as connection:
            return await requests.folders(connection)

    async def save_template(self, call: Call) -> dict[str, Any]:
        """Make a template of a job or a draft."""
        _, args, _ = await self._asked(call.text("job"))
        name, note = call.text("name"), call.text("note", "")
        template = declare(args, call.texts("parameters", []))
        async with self._region.db.write() as connection:
            again = call.flag("replace", default=False)
            now = self._region.clock()
            await templates.save(connection, name, template, note=note, by=call.user, now=now, replace=again)
        return {"template": name, "parameters": template.parameters}

    async def templates(self, _call: Call) -> list[dict[str, Any]]:
        """Every template."""
        async with self._region.db.read() as connection:
            return await templates.list_(connection)

    async def template(self, call: Call) -> dict[str, Any]:
        """One template."""
        async with self._region.db.read() as connection:
            return await templates.show(connection, call.text("name"))

    async def delete_template(self, call: Call) -> dict[str, Any]:
        """Forget a template."""
        async with self._region.db.write() as connection:
            await templates.remove(connection, call.text("name"))
        return {"template": call.text("name")}

    async def from_template(self, call: Call) -> dict[str, Any]:
        """A job, or a draft, of a template and its parameters."""
        name, given = call.text("name"), call.mapping("set", {})
        wrong = [key for key, value in given.items() if not isinstance(value, str)]
        if wrong:
            raise UsageError("argument.invalid", f"The parameter {wrong[0]!r} must be a text.", call.verb)
        async with self._region.db.read() as connection:
            template = await templates.get(connection, name)
        args = fill(template, given, name) | {"folder": call.text("folder", "")}
        if call.flag("draft", default=False):
            return await self.draft(replace(call, args=args))
        more = {key: call.args[key] for key in ("confirm", "dry_run") if key in call.args}
        return await self._jobs.create(replace(call, args=args | more))

    # -- what several verbs need -----------------------------------------------------------------------

    async def _keep(self, call: Call, args: dict[str, Any], folder: str) -> dict[str, Any]:
        async with self._region.db.write() as connection:
            identity = await requests.identity(connection, Kept())
            now = self._region.clock()
            await requests.keep(connection, identity, Kept(args, folder), call.user, now, draft=True)
        return {"job": identity[0], "draft": True, "folder": requests.check_folder(folder)}

    async def _asked(self, job: str) -> tuple[str, dict[str, Any], str]:
        """Id of a job or draft, what it was asked with, and its folder.

        Raises:
            UsageError: job.unknown.
        """
        async with self._region.db.read() as connection:
            draft = await requests.find_draft(connection, job)
            if draft is not None:
                return draft.job, draft.request, draft.folder
            found = await job_rows.get(connection, job)
            kept = await requests.asked_with(connection, found.id)
            if kept is not None:
                return found.id, *kept
            names = list((await connection.execute(select(targets.c.node).where(targets.c.job == found.id))).scalars())
        package = f"{found.package}={found.version}/{found.package_revision}" if found.package else ""
        args = {
            "type": found.type,
            "package": package,
            "targets": names,
            "note": found.note,
            "expires_s": max(1, (found.expires - found.created) // 1000),
            "options": found.options,
        }
        return found.id, args, ""


def _cleared(request: Mapping[str, Any], names: list[str]) -> dict[str, Any]:
    """The request without these words.

    Raises:
        UsageError: draft.word.
    """
    args, options = dict(request), dict(request.get("options") or {})
    for name in names:
        own = WORDS[name][0] if name in WORDS else ""
        word = next((word for word in (ALIASES.get(name, name), f"{name}_s") if word in options), "")
        if own and own in args:
            del args[own]
        elif word:
            del options[word]
        else:
            said = ", ".join(sorted({*options, *(key for key in args if args[key] and key not in {"type", "options"})}))
            todo = f"It says: {said or 'nothing'}. Nothing was done."
            raise UsageError("draft.word", f"The draft does not say {name[:60]!r}.", todo=todo)
    return args | {"options": options}


def _checked(request: Request) -> None:
    """Refuse what could never be started; who is meant, unless it has marks that a template fills."""
    options = checked(request)
    read_times(options)
    if jobtypes.of(request.type).content:
        job_words(options)
    if not any("{" in text for text in (request.target, *request.targets, *request.groups)):
        _ = request.meant


def add_draft_verbs(verbs: Verbs, region: Region, jobs: Creating, audited: Callable[[Handler], Handler]) -> None:
    """Put them into `verbs`."""
    drafts = DraftVerbs(region, jobs)
    for name, handler in {
        "draft": drafts.draft,
        "edit": drafts.edit,
        "start": drafts.start,
        "copy": drafts.copy,
        "move": drafts.move,
        "from": drafts.from_template,
        "template.save": drafts.save_template,
        "template.delete": drafts.delete_template,
    }.items():
        verbs.add(f"job.{name}", "operator", audited(handler))
    verbs.add("job.folders", "viewer", drafts.folders)
    verbs.add("job.template.list", "viewer", drafts.templates)
    verbs.add("job.template.show", "viewer", drafts.template)
