"""The words that orders and settings say of a transfer, read as one (docs/protocol-steering.md, section 1).

Rules
- A job's options and a link's settings use the same words; those of `WORDS` may be changed while a job runs.
- Single values are refused here; whether they can work together with package and expiry is for who orders.
- Changing says what is new and what is taken back; everything else stays as it was.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tiercast_protocol.errors import UsageError
from tiercast_protocol.transfer import calendar
from tiercast_protocol.transfer.calendar import Window
from tiercast_protocol.transfer.policy import JobPolicy, Pace, job_policy, pace_of

PERIODS = ("job", "day", "week", "month")
PACE_WORDS = frozenset(
    {"rate", "floor", "segment", "pause", "frames", "frame_pause_ms", "budget", "budget_s", "per", "window"}
)
JOB_WORDS = PACE_WORDS | {"priority", "fanout", "pass_suspended", "metered"}
#: `wake`: whether the machine at its end is woken for jobs, whatever these say (docs/power.md).
LINK_WORDS = PACE_WORDS | {"metered", "adaptive", "wake"}
#: In a job's options: how often its terms were changed.
CHANGE = "shape"
#: In a job's options: when it may begin to travel, in milliseconds since 1970; of the order alone, and never changed.
BEGINS = "distribute_at"
_LONGEST_BUDGET = 366 * 86_400


@dataclass(frozen=True, slots=True)
class Quota:
    """A budget: bytes or seconds of sending in one period; None is no limit."""

    per: str
    bytes: int | None = None
    seconds: int | None = None


@dataclass(frozen=True, slots=True)
class JobWords:
    """What was said of a job; nothing of it goes before `begins` (seconds since 1970)."""

    policy: JobPolicy
    windows: tuple[Window, ...] = ()
    quota: Quota | None = None
    begins: float = 0.0


@dataclass(frozen=True, slots=True)
class LinkWords:
    """What was said of a link; `metered` None is nothing."""

    pace: Pace
    windows: tuple[Window, ...] = ()
    quota: Quota | None = None
    metered: bool | None = None
    adaptive: bool = False


def job_words(options: Mapping[str, object]) -> JobWords:
    """What a job's options say; words of its type are passed over.

    Raises:
        UsageError: transfer.*, window.invalid.
    """
    begins = options.get(BEGINS)
    return JobWords(
        job_policy(options),
        _windows(options),
        _quota(options, "job"),
        begins / 1000 if isinstance(begins, int) else 0.0,
    )


def link_words(settings: Mapping[str, object]) -> LinkWords:
    """What a link's settings say; errors as `job_words`."""
    metered = settings.get("metered")
    return LinkWords(
        pace_of(settings),
        _windows(settings),
        _quota(settings, "month"),
        metered if isinstance(metered, bool) else None,
        settings.get("adaptive") is True,
    )


def changed(
    before: Mapping[str, str | int | bool], new: Mapping[str, object], clear: Iterable[str], words: frozenset[str]
) -> dict[str, str | int | bool]:
    """`before` with `new` said and `clear` taken back.

    Raises:
        UsageError: transfer.word: a word that is not one of `words`, or no text, number or flag; transfer.per.
    """
    wrong = sorted((set(new) | set(clear)) - words) + sorted(
        key for key, value in new.items() if not isinstance(value, str | int | bool)
    )
    if wrong:
        raise UsageError(
            code="transfer.word",
            what=f"{', '.join(wrong)} can't be said of it",
            todo=f"Words: {', '.join(sorted(words))}; each a text, a whole number or a flag.",
        )
    said: dict[str, str | int | bool] = {key: value for key, value in before.items() if key not in set(clear)}
    said.update((key, value) for key, value in new.items() if isinstance(value, str | int | bool))
    if "per" in said and said.get("budget") is None and said.get("budget_s") is None:
        raise UsageError(
            code="transfer.per",
            what=f"There is no budget per {said['per']}",
            todo="Give a budget too, or leave per out.",
        )
    return said


def _windows(options: Mapping[str, object]) -> tuple[Window, ...]:
    window = options.get("window", "")
    if not isinstance(window, str):
        raise UsageError(
            code="window.invalid", what=f"window is {window!r}", todo="Give a text such as mon-fri 22:00-06:00."
        )
    return calendar.parse(window) if window else ()


def _quota(options: Mapping[str, object], usual: str) -> Quota | None:
    size, seconds, per = options.get("budget"), options.get("budget_s"), options.get("per", usual)
    if per not in PERIODS:
        raise UsageError(code="transfer.per", what=f"per is {per!r}", todo=f"Choose one of: {', '.join(PERIODS)}.")
    if seconds is not None and (type(seconds) is not int or not 1 <= seconds <= _LONGEST_BUDGET):
        raise UsageError(
            code="transfer.budget",
            what=f"A budget of {seconds!r} seconds: it must be 1 to {_LONGEST_BUDGET}",
            todo="Give a budget of time such as 10h.",
        )
    if size is None and seconds is None:
        return None
    return Quota(str(per), size if isinstance(size, int) else None, seconds)
