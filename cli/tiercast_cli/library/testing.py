"""`tiercast package test`: install on one machine, show what came of it, take it back, and write the test down.

Rules
- Everything is an ordinary job with a signed receipt; nothing is believed that no receipt says.
- What stood there before comes back: the version that was there, or none, and so with what the package needed and was
  brought with it.  `--keep` leaves it all, and is no test; nor is a package that stands there already.  Another
  revision of the version that stands is another package: what was mended is tested over what it mends.
- What could not be put back is not begun.
- Interrupted or failed, nothing is written down; what was begun goes on as jobs do.
"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from tiercast_cli.said.options import Json, Package
from tiercast_cli.shown import words
from tiercast_cli.talk.exitcodes import ExitCode
from tiercast_cli.talk.session import ask, emit, run

_TEST = """\b
Examples:
  tiercast package test editor=2.1 --on pc-17
  tiercast package test editor=2.1 --on pc-17 --keep --json
"""
#: Seconds after which a machine that is away is not waited for.
_EXPIRES_S = 3600
#: Lines of a program's output that are shown.
_LINES = 20


def add(app: typer.Typer) -> None:
    """Put the command below a noun."""
    app.command("test", epilog=_TEST)(try_out)


def try_out(
    package: Package,
    *,
    on: Annotated[str, typer.Option("--on", metavar="NODE", help="The machine that it is tried on.")],
    keep: Annotated[bool, typer.Option("--keep", help="Leave it there: look, but write no test down.")] = False,
    json: Json = False,
) -> None:
    """Install a package on one machine, show the result, undo it; the region remembers that it was tested."""

    async def work() -> None:
        show: dict[str, Any] = await ask("package.show", package=package)
        reference = f"{show['package']}={show['version']}/{show['revision']}"
        before = await _standing(show["package"], on)
        if before in {reference, f"{show['package']}={show['version']}"}:
            raise _there(before, on)
        needs = await _needs(reference, on)
        await _at_hand([before, *needs.values()], on)
        came = await _job(reference, on, "install", json=json)
        result: dict[str, Any] = {"package": reference, "node": on, "before": before, "installed": came}
        if not _well(came):
            _end(result, json=json, code=ExitCode.JOB_FAILED)
        if not keep:
            back = await _undo(show["package"], before, on, json=json)
            result["undone"] = back
            if not _well(back):
                _end(result, json=json, code=ExitCode.JOB_FAILED)
            result["test"] = await ask("package.tested", package=reference, job=came["job"], undo=back["job"])
            for name, former in reversed(needs.items()):
                result.setdefault("needed", []).append(await _undo(name, former, on, json=json))
            if not all(_well(one) for one in result.get("needed", ())):
                _end(result, json=json, code=ExitCode.JOB_FAILED)
        _end(result, json=json, code=ExitCode.OK)

    run(work, as_json=json, on_interrupt=lambda: "Interrupted.  Jobs go on; no test was written down.")


async def _standing(name: str, on: str) -> str:
    """The package that stands there, with its revision where the region knows it; "" for none."""
    found = await ask("package.standing", package=name, node=on)
    if not found["version"]:
        return ""
    return f"{name}={found['version']}" + (f"/{found['revision']}" if found.get("revision") else "")


async def _at_hand(formers: list[str], on: str) -> None:
    """Refuse what could not be undone: a former version that the library has no more."""
    from tiercast_protocol.errors import UsageError  # noqa: PLC0415 - late

    for former in filter(None, formers):
        try:
            await ask("package.show", package=former)
        except UsageError as error:
            raise UsageError(
                code="test.former",
                what=f"{former} stands on {on}, and could not be put back: {error.what}",
                todo=f"Build it again, or name a machine without it, or remove it from {on}. Nothing was done.",
            ) from error


def _there(reference: str, on: str) -> Exception:
    from tiercast_protocol.errors import UsageError  # noqa: PLC0415 - late

    return UsageError(
        code="test.there",
        what=f"{reference} stands on {on} already: a test installs it and takes it back.",
        todo=f"Name a machine where it is not, or remove it from {on} first. Nothing was done.",
    )


async def _needs(reference: str, on: str) -> dict[str, str]:
    """What is brought with it, in the order of installation, and what of each stands there; "" for none."""
    found = await ask("job.create", **_asked(reference, on, "install"), dry_run=True)
    names = [str(one["package"]).partition("=")[0] for one in found.get("needs") or []]
    return {name: await _standing(name, on) for name in names}


async def _undo(name: str, before: str, on: str, *, json: bool) -> dict[str, Any]:
    if before:
        return await _job(before, on, "install", json=json)
    return await _job(name, on, "remove", json=json)


async def _job(package: str, on: str, type_: str, *, json: bool) -> dict[str, Any]:
    """Order it on one machine and wait for its end: {job, state, code, detail, programs}."""
    from tiercast_cli.shown.live import follow  # noqa: PLC0415 - heavy, late
    from tiercast_protocol.errors import UsageError  # noqa: PLC0415 - late

    job = str((await ask("job.create", **_asked(package, on, type_)))["job"])
    await follow(job, quiet=json)
    try:
        receipt: dict[str, Any] = await ask("job.receipt", job=job, node=on)
    except UsageError as error:  # it expired, or the machine said nothing
        return {"job": job, "type": type_, "state": "expired", "code": error.code, "detail": error.what, "programs": []}
    kept = {key: receipt.get(key) for key in ("state", "code", "detail", "actions", "programs")}
    return {"job": job, "type": type_, **kept}


def _asked(package: str, on: str, type_: str) -> dict[str, Any]:
    return {
        "type": type_,
        "package": package,
        "targets": [on],
        "note": "a test of the package",
        "expires_s": _EXPIRES_S,
        "options": {"replace": "any"} if type_ == "install" else {},
        "test": True,
        "anyway": True,
    }


def _well(came: dict[str, Any]) -> bool:
    return bool(came["state"] == "done" and came["code"] != "condition.skipped")


def _end(result: dict[str, Any], *, json: bool, code: ExitCode) -> None:
    if json:
        emit(result)
    else:
        for line in lines(result):
            print(line)
    raise typer.Exit(code)


def lines(result: dict[str, Any]) -> list[str]:
    """What came of it, for people."""
    found: list[str] = []
    for key, word in (("installed", "Installation"), ("undone", "Undo")):
        if (came := result.get(key)) is None:
            continue
        said = " ".join(part for part in (came["state"], came["code"], came["detail"]) if part)
        found.append(f"{word} on {result['node']} ({came['job']}): {said}")
        found += [f"  {action['action']}: {action['did']}" for action in came.get("actions") or []]
        for program in came["programs"] or []:
            found.append(f"  {' '.join(program['argv'])} ended with {program['exit']} after {program['seconds']:.1f} s")
            found += [f"    {line}" for line in str(program["output"]).splitlines()[-_LINES:]]
    for came in result.get("needed", ()):
        said = " ".join(part for part in (came["state"], came["code"], came["detail"]) if part)
        found.append(f"What it needed was taken back ({came['job']}, {came['type']}): {said}")
    if "undone" in result:
        was = f"{result['before']} stands there again" if result["before"] else "nothing of it stands there"
        found.append(f"Before and after: {was}.")
    if "test" in result:
        found.append(f"{result['package']} is tested: {words.count(2, 'job')} with signed receipts say so.")
    return found
