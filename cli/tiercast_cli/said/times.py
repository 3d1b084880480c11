"""When a job may move and be installed, and how often it is tried, at the command line.

Rules
- A moment is the local "18:00" or "2026-12-24 18:00" of this machine; a length has its unit.  What goes over the
  socket is milliseconds since 1970, seconds, and windows in the one text that links have too.
- Only what can be told from the text alone is refused here; whether it can work is for the server.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from tiercast_cli.said.durations import moment_of, seconds_of
from tiercast_cli.shown import words
from tiercast_protocol.errors import UsageError


def _text(flag: str, metavar: str, words: str) -> Any:
    return Annotated[str, typer.Option(flag, metavar=metavar, help=words)], ""


def _whens(incomplete: str) -> list[str]:
    return [when for when in ("now", "start", "shutdown") if when.startswith(incomplete)]


#: Of one job whose content travels.
ANYWAY: dict[str, tuple[Any, Any]] = {
    "anyway": (
        Annotated[bool, typer.Option("--anyway", help="Order it also where links and windows can't make its times.")],
        False,
    ),
}
#: Of jobs whose content travels.
OF_TRANSFER: dict[str, tuple[Any, Any]] = {
    "distribute_at": _text("--distribute-at", "TIME", "Nothing of it moves before: 18:00, 2026-12-24 18:00."),
    "prepare_by": _text("--prepare-by", "TIME", "The gateways are to hold it by then; shown when they don't."),
    "send_timeout": _text(
        "--send-timeout", "TIME", "A try to bring it there takes no longer: 30m, 6h; then it has failed."
    ),
    "tries": _text("--tries", "N", "So many tries to bring it there; 1 if not said."),
    "try_pause": _text("--try-pause", "TIME", "Before the second try; doubled each time, up to 1h."),
    "try_on": (
        Annotated[
            list[str], typer.Option("--try-on", metavar="CODE", help="Try again after this failure only; repeatable.")
        ],
        [],
    ),
}
#: Of jobs that endpoints carry out.
OF_INSTALLATION: dict[str, tuple[Any, Any]] = {
    "install_at": _text("--install-at", "TIME", "Not before: 18:00, 2026-12-24 18:00; what was fetched waits."),
    "install_window": (
        Annotated[
            list[str],
            typer.Option(
                "--install-window",
                metavar="WINDOW",
                help='Only inside, by the endpoint\'s clock: "mon-fri 22:00-06:00", "not daily 02:00-03:00 utc". '
                "Repeatable.",
            ),
        ],
        [],
    ),
    "install_when": (
        Annotated[
            str,
            typer.Option(
                "--install-when",
                metavar="WHEN",
                help="now, or at the agent's next start, or as it is stopped (shutdown).",
                autocompletion=_whens,
            ),
        ],
        "",
    ),
    "install_unless": (
        Annotated[
            list[str],
            typer.Option("--install-unless", metavar="PROGRAM", help="Not while this program runs there; repeatable."),
        ],
        [],
    ),
    "switch_at": _text("--switch-at", "TIME", "Prepared before, and switched on all at once at this time."),
    "spread": _text(
        "--spread", "TIME", "Spread the start over so long, by the machines' names; auto: of fetching, by the links."
    ),
    "max_duration": _text("--max-duration", "TIME", "It takes no longer; what can't end in its window does not begin."),
    "deadline": _text("--deadline", "TIME", "To be done by then; refused where that can't be."),
    "install_tries": _text("--install-tries", "N", "So many tries to carry it out; 1 if not said."),
    "install_pause": _text("--install-pause", "TIME", "Before the second try; doubled each time, up to 1h."),
    "install_on": (
        Annotated[
            list[str],
            typer.Option("--install-on", metavar="CODE", help="Try again after this failure only; repeatable."),
        ],
        [],
    ),
}
#: And of waking their machines (docs/power.md).
OF_INSTALLATION |= {
    "wake": (
        Annotated[
            bool | None,
            typer.Option("--wake/--no-wake", help="Gateways wake its machines for it; or not.", show_default=False),
        ],
        None,
    ),
    "wake_before": _text("--wake-before", "TIME", "So long before it may begin: 10m; goes with --wake."),
    "sleep_after": (
        Annotated[bool, typer.Option("--sleep-after", help="Machines that it woke shut down after it.")],
        False,
    ),
}
_SHOWN = 10
_MOMENTS = ("distribute_at", "prepare_by", "install_at", "switch_at", "deadline")
_LENGTHS = {
    "spread": "spread_s",
    "max_duration": "max_duration_s",
    "send_timeout": "send_timeout_s",
    "try_pause": "try_pause_s",
    "install_pause": "install_pause_s",
    "wake_before": "wake_before_s",
}
#: And what stands between several.
_LISTS = {
    "install_window": ("install_window", "; "),
    "install_unless": ("install_unless", ","),
    "try_on": ("try_codes", ","),
    "install_on": ("install_codes", ","),
}


def times_of(given: Mapping[str, Any], now: float | None = None) -> dict[str, str | int | bool]:
    """What the options in `given` say, under the words of an order.

    Raises:
        UsageError: a text that is no time, length or number, and a time that is over.
    """
    at = time.time() if now is None else now
    said: dict[str, str | int | bool] = {}
    for name in _MOMENTS:
        if text := given.get(name):
            said[name] = moment_of(text, _flag(name), at)
    said |= _lengths(given)
    for name in ("tries", "install_tries"):
        if text := given.get(name):
            said[name] = _number(text, _flag(name))
    for name, (word, between) in _LISTS.items():
        if texts := given.get(name):
            said[word] = between.join(texts)
    if given.get("wake") is not None:
        said["wake"] = bool(given["wake"])
    if given.get("sleep_after"):
        said["sleep_after"] = True
    if when := given.get("install_when"):
        said["install_when"] = when.strip().lower()
    return said


def _lengths(given: Mapping[str, Any]) -> dict[str, int | bool]:
    said: dict[str, int | bool] = {}
    for name, word in _LENGTHS.items():
        if name == "spread" and given.get(name) == "auto":
            said["spread_auto"] = True
        elif text := given.get(name):
            said[word] = seconds_of(text, _flag(name))
    return said


def times_shown(job: Mapping[str, Any]) -> list[str]:
    """What `job show` says of a job's times: what was ordered, and who did not keep to it."""
    options = job.get("options") or {}
    said = [f"{_flag(word)[2:]} {words.moment(options[word])}" for word in _MOMENTS if options.get(word)]
    said += [f"install-window {options['install_window']}"] if options.get("install_window") else []
    said += [f"install-when {options['install_when']}"] if options.get("install_when", "now") != "now" else []
    said += [f"install-unless {options['install_unless']}"] if options.get("install_unless") else []
    said += [f"{_flag(name)[2:]} {options[word]} s" for name, word in _LENGTHS.items() if options.get(word)]
    lines = [f"times: {', '.join(said)}"] if said else []
    if job.get("origin"):
        lines.append(f"another run of {job['origin']}")
    for word, names in (job.get("missed") or {}).items():
        lines.append(f"missed {_flag(word)[2:]} {words.moment(options[word])}: {_few(names)}")
    return lines


def _few(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _number(text: str, option: str) -> int:
    if not text.strip().isdecimal():
        raise UsageError("number.invalid", f"{text!r} is not a whole number", option, "Write 1, 2, 3 and so on.")
    return int(text)
