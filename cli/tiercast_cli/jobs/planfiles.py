"""The file of an activity plan: TOML, a job per step as `tiercast job create --file` takes it, and what it comes after.

Rules
- `[[step]]` has `name`, `after`, `on_failure`, `per`; every other key is its job's, read into the very command
  line of that job (`jobfiles`), so that a step takes what the command takes.
- A mistake names file and step, before anything is asked.  What steps mean to each other only the server judges.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tiercast_cli.jobs import jobfiles
from tiercast_cli.talk.session import session

_OF_STEP = ("name", "after", "on_failure", "per")
_EXAMPLE = 'Write [[step]] with name = "...", type = "install", package = "...", on = ["..."].'


def plan_of(file: str) -> dict[str, Any]:
    """What `plan.check` and `plan.run` are asked with: {name, note, steps}.

    Raises:
        UsageError: file.*, and whatever is wrong with the options of a step.
    """
    table = jobfiles.read(file)
    steps = table.pop("step", None)
    name, note = table.pop("name", "" if file == "-" else Path(file).stem), table.pop("note", "")
    if table:
        todo = f"There are: name, note, step. {_EXAMPLE}"
        raise jobfiles.wrong("file.key", f"The key `{next(iter(table))[:60]}` is unknown", file, todo)
    for key, value in (("name", name), ("note", note)):
        if not isinstance(value, str) or (key == "name" and not value):
            raise jobfiles.wrong("file.value", f"The key `{key}` is missing or no text", file, f'Write {key} = "...".')
    if not isinstance(steps, list) or not steps or not all(isinstance(step, dict) for step in steps):
        raise jobfiles.wrong("file.key", "It has no steps", file, _EXAMPLE)
    return {"name": name, "note": note, "steps": [_step(step, n, file) for n, step in enumerate(steps, 1)]}


def _step(table: dict[str, Any], number: int, file: str) -> dict[str, Any]:
    name = table.get("name")
    if not isinstance(name, str) or not name:
        raise jobfiles.wrong("file.value", f"Step {number} has no `name`", file, _EXAMPLE)
    where = f"{'standard input' if file == '-' else file}, step {name[:60]!r}"
    after = table.get("after", [])
    step = {"name": name, "after": [after] if isinstance(after, str) else after}
    step |= {key: table[key] for key in ("on_failure", "per") if key in table}
    job = {key: value for key, value in table.items() if key not in _OF_STEP}
    return {**step, "job": asked_with(job, where)}


def asked_with(table: dict[str, Any], where: str) -> dict[str, Any]:
    """The arguments of `job.create` for a job as a file has it: those that its command would ask with.

    Raises:
        UsageError: file.*, and whatever is wrong with an option; `where` is the place that it names.
    """
    import typer  # noqa: PLC0415 - late: only who has a plan pays for it

    from tiercast_cli.jobs import jobs  # noqa: PLC0415 - as above
    from tiercast_protocol.errors import UsageError  # noqa: PLC0415 - as above

    group: Any = typer.main.get_command(jobs.app)
    line = jobfiles.line_of(table, where, group.commands)
    refused: Any = typer.BadParameter.__bases__  # whatever the parser of command lines refuses
    collected: list[dict[str, Any]] = []
    session.collected = collected
    try:
        group.main(line, prog_name="tiercast job", standalone_mode=False)
    except refused as error:
        said = str(error.format_message()).rstrip(".")
        raise jobfiles.wrong("file.value", said, where, "Mend the step.") from None
    except UsageError as error:
        raise UsageError(
            error.code, error.what, f"{where}{f': {error.where}' if error.where else ''}", error.todo
        ) from None
    finally:
        session.collected = None
    (asked,) = collected
    return asked
