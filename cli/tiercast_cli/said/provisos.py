"""What a job leaves to the machine and to its owner, at the command line: conditions, deferral, rejection.

Rules
- A moment is read as in `times.py`.  Only what can be told from the text alone is refused here.
- Conditions are one text in CEL; what they mean, and whether it can work, is for the server.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from tiercast_cli.said.durations import moment_of
from tiercast_cli.shown import words
from tiercast_protocol.errors import UsageError


def _falses(incomplete: str) -> list[str]:
    return [word for word in ("wait", "skip") if word.startswith(incomplete)]


def _replaces(incomplete: str) -> list[str]:
    return [word for word in ("newer", "equal", "any", "never") if word.startswith(incomplete)]


#: Of jobs that change a machine.
OF_OWNER: dict[str, tuple[Any, Any]] = {
    "condition": (
        Annotated[
            str,
            typer.Option(
                "--condition",
                metavar="CEL",
                help="Only where this is true, tested there: 'memory >= 8000000000 && !(\"rival\" in packages)'.",
            ),
        ],
        "",
    ),
    "condition_false": (
        Annotated[
            str,
            typer.Option(
                "--condition-false",
                metavar="WORD",
                help="Where it is not true: wait until it is (the usual), or skip.",
                autocompletion=_falses,
            ),
        ],
        "",
    ),
    "defer_max": (
        Annotated[
            str, typer.Option("--defer-max", metavar="N", help="The owner may put it off so often; 0 is not at all.")
        ],
        "",
    ),
    "defer_until": (
        Annotated[
            str,
            typer.Option("--defer-until", metavar="TIME", help="And not beyond this: 18:00, or 2026-12-24 18:00."),
        ],
        "",
    ),
    "rejectable": (Annotated[bool, typer.Option("--rejectable", help="The owner may reject it.")], False),
}

#: Of jobs that install a package.
OF_REPLACING: dict[str, tuple[Any, Any]] = {
    "replace": (
        Annotated[
            str,
            typer.Option(
                "--replace",
                metavar="RULE",
                help="What it may replace, whatever the package says: newer, equal, any or never.",
                autocompletion=_replaces,
            ),
        ],
        "",
    ),
}


def provisos_of(given: Mapping[str, Any], now: float | None = None) -> dict[str, str | int | bool]:
    """What the options in `given` say, under the words of an order.

    Raises:
        UsageError: a text that is no time or number.
    """
    said: dict[str, str | int | bool] = {}
    if condition := given.get("condition"):
        said["condition"] = condition
    if false := given.get("condition_false"):
        said["condition_false"] = false.strip().lower()
    if most := given.get("defer_max"):
        if not most.strip().isdecimal():
            raise UsageError(
                "number.invalid", f"{most!r} is not a whole number", "--defer-max", "Write 0, 1, 2 and so on."
            )
        said["defer_max"] = int(most)
    if until := given.get("defer_until"):
        said["defer_until"] = moment_of(until, "--defer-until", time.time() if now is None else now)
    if replace := given.get("replace"):
        said["replace"] = replace.strip().lower()
    if given.get("rejectable"):
        said["rejectable"] = True
    return said


def provisos_shown(job: Mapping[str, Any]) -> list[str]:
    """What `job show` says of them."""
    options = job.get("options") or {}
    lines: list[str] = []
    false = "skipped" if options.get("condition_false") == "skip" else "it waits"
    for word, whose in (("condition", "condition"), ("package_condition", "the package's condition")):
        if text := options.get(word):
            lines.append(f"{whose}: {text} (else {false})")
    for word, shown in (("package_requires", "needs"), ("package_conflicts", "conflicts with")):
        if text := options.get(word):
            lines.append(f"{shown} {text}")
    if rule := options.get("replace") or options.get("package_replace"):
        lines.append(f"replaces {rule}")
    if text := options.get("package_before"):
        lines.append(f"goes before {text}")
    said = [f"deferred {words.count(options['defer_max'], 'time')} at most"] if "defer_max" in options else []
    said += [f"not beyond {words.moment(options['defer_until'])}"] if options.get("defer_until") else []
    said += ["may be rejected"] if options.get("rejectable") else []
    return [*lines, f"owner: {', '.join(said)}"] if said else lines
