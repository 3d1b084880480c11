"""`tiercast job edit`: other words in a draft, as its command would have taken them.

Rules
- A word is an option of the draft's own command by its long name, or what the command is about (package, program,
  text); it is read by that very command, so that times, windows and units are those of the command.
- Only what is said changes.  `--clear` takes a word out: it is then as if it had never been said.
"""

from __future__ import annotations

import shlex
from typing import Annotated, Any

import typer

from tiercast_cli.jobs import jobs
from tiercast_cli.jobs.jobfiles import SUBJECT
from tiercast_cli.said.options import Job, Json
from tiercast_cli.talk.session import ask, run

EXAMPLE = """\b
Examples:
  tiercast job edit j7-ab12 --set package=editor=2.2 --set install-window="daily 22:00-05:00"
  tiercast job edit j7-ab12 --set on=pc-1 --set on=pc-2 --clear deadline
"""
#: What a command is about, where that stays as it is: it must have something.
_ANYTHING: dict[str, Any] = {"package": "x", "program": ["/bin/true"], "text": "x", "": None}
#: Of the one call, not of the draft.
_NOT_KEPT = frozenset({"folder"})


def edit(
    job: Job,
    *,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="An option of its command; given again, one value more."),
    ] = None,
    clear: Annotated[
        list[str] | None, typer.Option("--clear", metavar="NAME", help="Take an option out; may be repeated.")
    ] = None,
    json: Json = False,
) -> None:
    """Change what a draft says, by the options of its own command."""
    kind: list[str] = []

    async def look() -> None:
        shown = await ask("job.show", job=job)
        kind.append(str(shown["type"]))

    run(look, as_json=json)
    asked: dict[str, Any] = {}

    async def work() -> None:
        done = await ask("job.edit", job=job, clear=[name.replace("-", "_") for name in clear or []], **asked)
        jobs.kept(done, json=json)

    # Each line has a loop of its own: it is read outside of ours, and told inside.
    try:
        asked |= changes(kind[0], set_ or [])
    except Exception as error:  # noqa: BLE001 - told as any other mistake is
        wrong = error

        async def tell() -> None:
            raise wrong

        run(tell, as_json=json)
    run(work, as_json=json)


def changes(kind: str, texts: list[str]) -> dict[str, Any]:
    """What the words change in a request of this type: {"set": arguments, "options": options}.

    Raises:
        UsageError: set.invalid, file.*, and whatever is wrong with an option.
    """
    from tiercast_cli.jobs.planfiles import asked_with  # noqa: PLC0415 - late: only who edits pays for it

    subject = SUBJECT.get(kind, "")
    table: dict[str, Any] = {"type": kind, subject: _ANYTHING[subject]} if subject else {"type": kind}
    before = asked_with(table, "--set")
    after = asked_with(table | _table(texts, subject), "--set")
    old, new = before.pop("options"), after.pop("options")
    return {
        "set": {key: value for key, value in after.items() if value != before.get(key) and key not in _NOT_KEPT},
        "options": {key: value for key, value in new.items() if value != old.get(key)},
    }


def _table(texts: list[str], subject: str) -> dict[str, Any]:
    """The words as a parameter file would have them."""
    from tiercast_protocol.errors import UsageError  # noqa: PLC0415 - late: most runs have no error

    found: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        key = name.replace("-", "_")
        if not equals or not key or key in {"type", *_NOT_KEPT}:
            todo = "Write NAME=VALUE with an option of its command; `job move` changes the folder. Nothing was done."
            raise UsageError("set.invalid", f"{text[:60]!r} sets nothing.", "--set", todo)
        read: Any = value
        if value in {"true", "false"}:
            read = value == "true"
        if key == "program" == subject:
            read = shlex.split(value)
        if key in found and key != subject:
            known = found[key]
            found[key] = [*(known if isinstance(known, list) else [known]), read]
        else:
            found[key] = read
    return found
