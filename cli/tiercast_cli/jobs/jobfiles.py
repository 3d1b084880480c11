"""`tiercast job create --file FILE`: a job out of a parameter file, for scripts.

Rules
- The file is TOML and speaks the language of the command line: `type` names the command, `package`, `program` or `text`
  what it takes, and every other key is an option by its long name, with `_` or `-` between words.
- It is read into that very command line: what the command takes, the file takes, and errors are the command's own.
- An unknown key, or a value that no option can have, is an error that names file and key, before anything is asked.
"""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from tiercast_cli.jobs.jobs import Watch
from tiercast_cli.said.options import Confirm, DryRun, Json
from tiercast_cli.talk.session import run as run_

#: What each type takes that is no option; the value is a text or, of a program, a list.
SUBJECT = {
    "install": "package",
    "offer": "package",
    "remove": "package",
    "preload": "package",
    "purge": "package",
    "verify": "package",
    "repair": "package",
    "run": "program",
    "message": "text",
    "inventory": "",
    "restart": "",
    "shutdown": "",
    "reboot": "",
}
_MOST = 1 << 20


def create(
    context: typer.Context,
    *,
    file: Annotated[str, typer.Option("--file", metavar="FILE", help="TOML; - is the standard input.")],
    keep: Annotated[bool, typer.Option("--draft", help="Keep it as a draft; order nothing.")] = False,
    dry_run: DryRun = False,
    confirm: Confirm = 0,
    watch: Watch = False,
    json: Json = False,
) -> None:
    """Make a job out of a parameter file."""
    line: list[str] = []

    async def work() -> None:
        line.extend(line_of(read(file), file, _commands(context)))

    run_(work, as_json=json)
    parent = context.parent
    group: Any = None if parent is None else parent.command
    said = [name for name, given in (("--json", json), ("--watch", watch), ("--dry-run", dry_run)) if given]
    said += [f"--confirm={confirm}"] if confirm else []
    words = [*(["draft"] if keep else []), line[0], *said, *line[1:]]
    group.main(words, prog_name="tiercast job", parent=parent.parent if parent else None, standalone_mode=False)


def line_of(table: dict[str, Any], where: str, commands: dict[str, Any]) -> list[str]:
    """The command line that the file says: the command, its options, its subject.

    Args:
        table: what stands in the file.
        where: how the file is called in errors.
        commands: the commands below `job` by name.

    Raises:
        UsageError: file.type, file.key or file.value.
    """
    kind = table.get("type")
    if kind not in SUBJECT:
        todo = f'Write type = "install", or one of: {", ".join(SUBJECT)}.'
        raise wrong("file.type", f"The key `type` is {'missing' if kind is None else repr(kind)}", where, todo)
    flags = {
        parameter.name: (parameter.opts, parameter.secondary_opts)
        for parameter in commands[kind].params
        if parameter.param_type_name == "option" and parameter.name not in {"help", "watch", "json"}
    }
    names = {opt.removeprefix("--").replace("-", "_"): found for found in flags.values() for opt in found[0]}
    line: list[str] = [kind]
    subject = SUBJECT[kind]
    for key, value in table.items():
        if key in {"type", subject}:
            continue
        found = names.get(key.replace("-", "_"))
        if found is None:
            known = ", ".join(sorted(name for name in names if not name.startswith("_") and len(name) > 1))
            raise wrong("file.key", f"The key `{key[:60]}` is unknown", where, f"Of {kind} there are: {known}.")
        line += _option(key, value, found, where)
    if not subject:
        return line
    said = table.get(subject)
    words: list[Any] = said if isinstance(said, list) and subject == "program" else [said]
    if not words or not all(isinstance(word, str) and word for word in words):
        example = '["/bin/true"]' if subject == "program" else '"..."'
        todo = f"Write {subject} = {example}."
        raise wrong("file.value", f"The key `{subject}` is missing or no text", where, todo)
    return [*line, "--", *words]


def _option(key: str, value: Any, found: tuple[list[str], list[str]], where: str) -> list[str]:
    """The words of one option."""
    flag = max(found[0], key=len)
    if isinstance(value, bool):
        if not value and found[1]:
            return [found[1][0]]
        return [flag] if value else []
    values = value if isinstance(value, list) else [value]
    if not all(type(one) in {str, int, float} for one in values):
        raise wrong("file.value", f"The key `{key[:60]}` is {type(value).__name__}", where, "Write a text or a number.")
    return [f"{flag}={one}" for one in values]


def read(file: str) -> dict[str, Any]:
    """What stands in `file`; "-" is the standard input.

    Raises:
        UsageError: file.unreadable or file.invalid.
    """
    return read_with_text(file)[0]


def read_with_text(file: str) -> tuple[dict[str, Any], str]:
    """As `read`, and the text itself."""
    import tomllib  # noqa: PLC0415 - late: only who has a file pays for it
    from pathlib import Path  # noqa: PLC0415 - as above

    try:
        text = sys.stdin.read(_MOST) if file == "-" else Path(file).read_text("utf-8")
        return tomllib.loads(text), text
    except OSError as error:
        raise wrong("file.unreadable", f"It can't be read: {error.strerror}", file, "Name a file, or - .") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise wrong("file.invalid", f"It is no TOML: {error}", _place(file), "Mend it there.") from None


def _place(file: str) -> str:
    return "standard input" if file == "-" else file


def wrong(code: str, what: str, where: str, todo: str) -> Exception:
    """The error for a mistake in the file `where`."""
    from tiercast_protocol.errors import UsageError  # noqa: PLC0415 - late: most runs have no error

    return UsageError(code, f"{what}.", _place(where), f"{todo} Nothing was done.")


def _commands(context: typer.Context) -> dict[str, Any]:
    parent = context.parent
    group: Any = None if parent is None else parent.command
    found: dict[str, Any] = group.commands
    return found
