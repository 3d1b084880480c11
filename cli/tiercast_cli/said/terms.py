"""What may be said of a transfer at the command line: one table of options for jobs and for links.

Rules
- An option is text with units ("4MiB", "400KB/s", "2s"); what goes over the socket is bytes, seconds and
  milliseconds under the words of `transfer/policy.py`.
- "none" (of a rate also "unlimited") takes back what was said before; where nothing was, it says nothing.
- Only what can be told from the text alone is refused here; whether it can work is for the daemon.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, TypeVar

import typer

from tiercast_cli.said.durations import milliseconds_of, rate_of, seconds_of, size_of
from tiercast_protocol.errors import UsageError

F = TypeVar("F", bound=Callable[..., Any])
_NOTHING = frozenset({"none", "unlimited"})
_AT = re.compile(r"\bat\s+(\S+/s)", re.IGNORECASE)
PERIODS = ("job", "day", "week", "month")


def _text(flag: str, metavar: str, words: str) -> Any:
    return Annotated[str, typer.Option(flag, metavar=metavar, help=words)], ""


def _periods(incomplete: str) -> list[str]:
    return [period for period in PERIODS if period.startswith(incomplete)]


def _fanouts(incomplete: str) -> list[str]:
    return [fanout for fanout in ("auto", "multicast", "unicast", "none") if fanout.startswith(incomplete)]


#: Name of the parameter: (annotation, default).  What jobs and links have in common.
PACE: dict[str, tuple[Any, Any]] = {
    "rate": _text("--rate", "RATE", "Most per second: 20MB/s, 512KiB/s, 100Mbit/s, or unlimited."),
    "floor": _text("--floor", "RATE", "What it keeps per second whatever comes before it."),
    "segment": _text("--segment", "SIZE", "Split distribution: so much, then a pause. Goes with --pause."),
    "pause": _text("--pause", "TIME", "The pause after each segment: 2s to 24h; other jobs have the link meanwhile."),
    "interval_frames": _text("--interval-frames", "N", "Interval transfer: so many frames, then a short pause."),
    "interval_pause": _text("--interval-pause", "TIME", "That pause, such as 250ms. Goes with --interval-frames."),
    "budget": _text("--budget", "SIZE|TIME", "No more than 2GB, or 10h of sending, over one link."),
    "per": (
        Annotated[
            str,
            typer.Option(
                "--per", metavar="PERIOD", help="Of the budget: job, day, week, month.", autocompletion=_periods
            ),
        ],
        "",
    ),
}
#: What only jobs have.
JOB: dict[str, tuple[Any, Any]] = {
    "priority": _text("--priority", "1-9", "9 is the most urgent and goes first, frame by frame; 5 is usual."),
    **PACE,
    "fanout": (
        Annotated[
            str,
            typer.Option("--fanout", metavar="MODE", help="auto, multicast or unicast.", autocompletion=_fanouts),
        ],
        "",
    ),
    "window": (
        Annotated[
            list[str],
            typer.Option(
                "--window",
                metavar="WINDOW",
                help='When it may be distributed: "mon-fri 22:00-06:00", "daily 12:00-13:00 at 2MB/s utc",'
                ' "not sat,sun 08:00-18:00"; may be given several times.',
            ),
        ],
        [],
    ),
    "pass_suspended": (
        Annotated[
            bool | None,
            typer.Option(
                "--pass-suspended/--no-pass-suspended", help="Goes to suspended nodes too.", show_default=False
            ),
        ],
        None,
    ),
    "metered": (
        Annotated[
            bool | None,
            typer.Option("--metered/--no-metered", help="May use metered links.", show_default=False),
        ],
        None,
    ),
}
#: What only links have.
LINK: dict[str, tuple[Any, Any]] = {
    **PACE,
    "metered": (
        Annotated[
            bool | None,
            typer.Option(
                "--metered/--no-metered", help="Only jobs with --metered use it; or all do.", show_default=False
            ),
        ],
        None,
    ),
    "adaptive": (
        Annotated[
            bool | None,
            typer.Option(
                "--adaptive/--no-adaptive", help="Yield when the link's delay grows; or not.", show_default=False
            ),
        ],
        None,
    ),
    "wake": (
        Annotated[
            bool | None,
            typer.Option(
                "--wake/--no-wake", help="Machines at it are woken for any job; or for none.", show_default=False
            ),
        ],
        None,
    ),
}


@dataclass(slots=True)
class Terms:
    """What was said: `options` under the words of the wire, and the words that are taken back."""

    options: dict[str, str | int | bool] = field(default_factory=dict)
    clear: list[str] = field(default_factory=list)

    def say(self, key: str, value: str | int | bool | None) -> None:
        """`key` is `value` from now on; None takes it back."""
        if value is None:
            self.clear.append(key)
        else:
            self.options[key] = value


def taking(options: Mapping[str, tuple[Any, Any]]) -> Callable[[F], F]:
    """The command takes `options` too; they come to it as its `**given`."""

    def add(function: F) -> F:
        signature = inspect.signature(function, eval_str=True)
        own = [one for one in signature.parameters.values() if one.kind is not inspect.Parameter.VAR_KEYWORD]
        more = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
            for name, (annotation, default) in options.items()
        ]
        function.__signature__ = signature.replace(parameters=[*own, *more])  # type: ignore[attr-defined]
        function.__annotations__ = {one.name: one.annotation for one in (*own, *more)}
        return function

    return add


def terms_of(given: Mapping[str, Any]) -> Terms:
    """What the options in `given` say.

    Raises:
        UsageError: a text that is no size, rate, time, number or period.
    """
    terms = Terms()
    for name, (key, read) in _READERS.items():
        text = given.get(name) or ""
        if text:
            terms.say(key, None if text.strip().lower() in _NOTHING else read(text, "--" + name.replace("_", "-")))
    _budget(terms, given)
    if windows := given.get("window"):
        terms.say("window", None if [text.lower() for text in windows] == ["none"] else window_text(windows))
    for name in ("pass_suspended", "metered", "adaptive", "wake"):
        if given.get(name) is not None:
            terms.say(name, bool(given[name]))
    return terms


def window_text(windows: list[str]) -> str:
    """Windows as typed, in the one text that travels: rates in bytes per second."""
    return "; ".join(_AT.sub(lambda found: f"at {rate_of(found[1], '--window')}", text) for text in windows)


def _budget(terms: Terms, given: Mapping[str, Any]) -> None:
    text, per = given.get("budget") or "", given.get("per") or ""
    if per and per not in PERIODS:
        raise UsageError("per.invalid", f"{per!r} is no period", "--per", f"Choose one of: {', '.join(PERIODS)}.")
    if text.strip().lower() in _NOTHING:
        terms.clear += ["budget", "budget_s", "per"]
    elif text:
        try:
            terms.options["budget"] = size_of(text, "--budget")
            terms.clear.append("budget_s")
        except UsageError:
            try:
                terms.options["budget_s"] = seconds_of(text, "--budget")
                terms.clear.append("budget")
            except UsageError:
                todo = "Write 2GB for bytes, or 10h for time."
                raise UsageError("budget.invalid", f"{text!r} is no budget", "--budget", todo) from None
        terms.options["per"] = per or "job"
    elif per:
        terms.options["per"] = per


def _number(text: str, option: str) -> int:
    if not text.strip().isdecimal():
        raise UsageError("number.invalid", f"{text!r} is not a whole number", option, "Write 1, 2, 3 and so on.")
    return int(text)


def _fanout(text: str, _option: str) -> str:
    return text.strip().lower()


_READERS: dict[str, tuple[str, Callable[[str, str], str | int]]] = {
    "priority": ("priority", _number),
    "rate": ("rate", rate_of),
    "floor": ("floor", rate_of),
    "segment": ("segment", size_of),
    "pause": ("pause", seconds_of),
    "interval_frames": ("frames", _number),
    "interval_pause": ("frame_pause_ms", milliseconds_of),
    "fanout": ("fanout", _fanout),
}
