"""`tiercast job draft | start | copy | move | from | template`: jobs that are kept, and jobs that are made of others.

Rules
- `job draft TYPE ...` takes what `job TYPE ...` takes: the same commands, and nothing is ordered.
- Parameters go to the server as they were typed; only it knows what a template has.
"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from tiercast_cli.jobs import actions, contents, editing, jobfiles, jobs
from tiercast_cli.jobs.jobs import Watch
from tiercast_cli.said.options import Confirm, DryRun, Job, Json
from tiercast_cli.said.options import Template as Name
from tiercast_cli.shown import words
from tiercast_cli.talk.session import ask, emit, run, session

draft = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Keep a job without ordering it: the same commands as below `job`.",
)
template = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Jobs with parameters, to be used again.")

Folder = Annotated[str, typer.Argument(metavar="FOLDER", help="a/b; / is the top.")]
IntoFolder = Annotated[str | None, typer.Option("--folder", metavar="FOLDER", help="Where it is put: a/b.")]


@draft.callback()
def drafting() -> None:
    """Keep a job without ordering it: the same commands as below `job`."""
    session.drafting = True


def start(job: Job, *, dry_run: DryRun = False, confirm: Confirm = 0, watch: Watch = False, json: Json = False) -> None:
    """Order what a draft says."""
    made: dict[str, Any] = {}

    async def work() -> None:
        made.update(await ask("job.start", job=job, **_of_call(dry_run, confirm)))
        if dry_run:
            jobs.only_shown(made, json=json)
        else:
            await jobs.made(made, "started", watch=watch, json=json)

    run(work, as_json=json, on_interrupt=lambda: jobs.attach(made.get("job", "")))


def copy(job: Job, *, folder: IntoFolder = None, json: Json = False) -> None:
    """Make a draft of what a job, or another draft, was asked with."""

    async def work() -> None:
        jobs.kept(await ask("job.copy", job=job, **({} if folder is None else {"folder": folder})), json=json)

    run(work, as_json=json)


def move(job: Job, folder: Folder, *, json: Json = False) -> None:
    """Put a job or a draft into a folder."""

    async def work() -> None:
        moved = await ask("job.move", job=job, folder=folder)
        emit(moved) if json else print(f"Job {moved['job']} is in {moved['folder'] or 'no folder'} now.")

    run(work, as_json=json)


def folders(*, json: Json = False) -> None:
    """List the folders in which something is."""

    async def work() -> None:
        found: list[dict[str, Any]] = await ask("job.folders")
        if json:
            emit({"folders": found})
            return
        rows = [(one["folder"] or "/", one["jobs"], one["drafts"]) for one in found]
        print(words.table(("folder", "jobs", "drafts"), rows))

    run(work, as_json=json)


def from_(
    name: Name,
    *,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="A parameter; may be given several times.")
    ] = None,
    file: Annotated[
        str,
        typer.Option("--file", metavar="FILE", help="Parameters in TOML; - reads standard input."),
    ] = "",
    keep: Annotated[bool, typer.Option("--draft", help="Keep it as a draft; order nothing.")] = False,
    folder: IntoFolder = None,
    dry_run: DryRun = False,
    confirm: Confirm = 0,
    watch: Watch = False,
    json: Json = False,
) -> None:
    """Make a job of a template."""
    done: dict[str, Any] = {}

    async def work() -> None:
        values = (_values(file) if file else {}) | _pairs(set_ or [])
        args = {"name": name, "set": values, "draft": keep, "folder": folder or ""}
        done.update(await ask("job.from", **args, **_of_call(dry_run, confirm)))
        if dry_run:
            jobs.only_shown(done, json=json)
        elif keep:
            jobs.kept(done, json=json)
        else:
            await jobs.made(done, f"from {name}", watch=watch, json=json)

    run(work, as_json=json, on_interrupt=lambda: jobs.attach(done.get("job", "")))


@template.command()
def save(
    job: Job,
    name: Name,
    *,
    parameter: Annotated[
        list[str] | None,
        typer.Option(
            "--parameter",
            metavar="NAME[=DEFAULT]",
            help="A mark {NAME} in the job's texts, or a word of it: package, on, group, expires, priority ...",
        ),
    ] = None,
    note: Annotated[str, typer.Option("--note", help="What it is for.")] = "",
    replace: Annotated[bool, typer.Option("--replace", help="Save over the one that has this name.")] = False,
    json: Json = False,
) -> None:
    """Save a job or a draft as a template."""

    async def work() -> None:
        args = {"job": job, "name": name, "parameters": parameter or [], "note": note, "replace": replace}
        saved = await ask("job.template.save", **args)
        if json:
            emit({"template": saved})
            return
        sets = "".join(f" --set {key}=..." for key, default in saved["parameters"].items() if default is None)
        print(f"Template {saved['template']} is saved. Use it: tiercast job from {saved['template']}{sets}")

    run(work, as_json=json)


@template.command("list")
def list_(*, json: Json = False) -> None:
    """List all templates."""

    async def work() -> None:
        found: list[dict[str, Any]] = await ask("job.template.list")
        if json:
            emit({"templates": found})
            return
        rows = [(t["template"], t["type"], t["about"], _parameters(t["parameters"]), t["note"]) for t in found]
        print(words.table(("template", "type", "about", "parameters", "note"), rows))

    run(work, as_json=json)


@template.command()
def show(name: Name, *, json: Json = False) -> None:
    """Show a template: what it asks for, and its parameters."""

    async def work() -> None:
        found: dict[str, Any] = await ask("job.template.show", name=name)
        if json:
            emit({"template": found})
            return
        print(f"template {found['template']}  by {found['by']}, {words.moment(found['created'])}")
        if found["note"]:
            print(found["note"])
        words.print_map(found["request"])
        print(f"  parameters  {_parameters(found['parameters']) or 'none'}")

    run(work, as_json=json)


@template.command()
def delete(name: Name, *, json: Json = False) -> None:
    """Forget a template; jobs made of it stay."""

    async def work() -> None:
        gone = await ask("job.template.delete", name=name)
        emit(gone) if json else print(f"Template {gone['template']} is forgotten.")

    run(work, as_json=json)


def add_drafts(app: typer.Typer) -> None:
    """Put the commands into the noun `job`."""
    app.command()(jobfiles.create)
    app.command()(start)
    app.command(epilog=editing.EXAMPLE)(editing.edit)
    app.command()(copy)
    app.command()(move)
    app.command()(folders)
    app.command("from")(from_)
    for command, epilog in (
        (jobs.install, jobs.INSTALL),
        (jobs.offer, jobs.OFFER),
        (jobs.remove, jobs.REMOVE),
        (jobs.preload, jobs.PRELOAD),
        (jobs.purge, ""),
        (contents.verify, ""),
        (contents.repair, ""),
        (actions.run, actions.RUN),
        (actions.message, actions.MESSAGE),
        (actions.inventory, actions.INVENTORY),
        (actions.restart, actions.RESTART),
    ):
        draft.command(epilog=epilog.replace("tiercast job ", "tiercast job draft ") or None)(command)
    app.add_typer(draft, name="draft")
    app.add_typer(template, name="template")


def _of_call(dry_run: bool, confirm: int) -> dict[str, Any]:
    """What is said of this one call, as far as it was said."""
    return {key: value for key, value in (("dry_run", dry_run), ("confirm", confirm)) if value}


def _parameters(parameters: dict[str, str | None]) -> str:
    return ", ".join(name if default is None else f"{name}={default}" for name, default in sorted(parameters.items()))


def _values(file: str) -> dict[str, str]:
    """The parameters in a file: texts and numbers as they stand, lists as texts with commas."""
    found: dict[str, str] = {}
    for name, value in jobfiles.read(file).items():
        values = value if isinstance(value, list) else [value]
        if not all(type(one) in {str, int, float, bool} for one in values):
            raise jobfiles.wrong("file.value", f"The key `{name[:60]}` can't be a parameter", file, "Write a text.")
        found[name] = ",".join(str(one).lower() if isinstance(one, bool) else str(one) for one in values)
    return found


def _pairs(texts: list[str]) -> dict[str, str]:
    from tiercast_protocol.errors import UsageError  # noqa: PLC0415 - late: most runs have no error

    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise UsageError("set.invalid", f"{text!r} sets nothing", "--set", "Write NAME=VALUE.")
        if name in found:
            raise UsageError("set.invalid", f"{name!r} is set twice", "--set", "Give each parameter once.")
        found[name] = value
    return found
