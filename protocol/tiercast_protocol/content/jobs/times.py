"""When a job may move, when it may be installed, and how often it is tried: words of an order's options.  Pure.

Rules (docs/jobs.md, "Times")
- Distribution and installation have times of their own; what is not said is "as soon as it can be".
- Windows are those of the transfer (`transfer/calendar.py`): one language, local time of whoever keeps them, or UTC.
- Moments are milliseconds since 1970, lengths are seconds.
- Single values are refused here; whether they can work together, and in time, is for who orders (`time_checks`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tiercast_protocol.errors import UsageError
from tiercast_protocol.transfer import calendar
from tiercast_protocol.transfer.calendar import Window
from tiercast_protocol.transfer.terms import BEGINS

DISTRIBUTE_AT, INSTALL_AT, SWITCH_AT = BEGINS, "install_at", "switch_at"
PREPARE_BY, DEADLINE = "prepare_by", "deadline"
INSTALL_WINDOW, INSTALL_WHEN = "install_window", "install_when"
INSTALL_UNLESS = "install_unless"
SPREAD, MAX_DURATION = "spread_s", "max_duration_s"
SEND_TIMEOUT = "send_timeout_s"
#: Machines begin to fetch spread over so long; the other one asks the server to reckon it, and is never in an order.
FETCH_SPREAD, SPREAD_AUTO = "fetch_spread_s", "spread_auto"
TRIES, PAUSE, CODES = "tries", "try_pause_s", "try_codes"
INSTALL_TRIES, INSTALL_PAUSE, INSTALL_CODES = "install_tries", "install_pause_s", "install_codes"
MOMENTS = (DISTRIBUTE_AT, INSTALL_AT, SWITCH_AT, PREPARE_BY, DEADLINE)
#: Words of an installation; the others are also of a preload.
OF_INSTALLATION = frozenset(
    {
        *(INSTALL_AT, SWITCH_AT, INSTALL_WINDOW, INSTALL_WHEN, INSTALL_UNLESS, SPREAD, MAX_DURATION),
        *(INSTALL_TRIES, INSTALL_PAUSE, INSTALL_CODES),
    }
)
#: Words of the way to the target.
OF_TRANSFER = frozenset({DISTRIBUTE_AT, PREPARE_BY, SEND_TIMEOUT, FETCH_SPREAD, TRIES, PAUSE, CODES})
WORDS = OF_INSTALLATION | OF_TRANSFER | {DEADLINE}

NOW, START, SHUTDOWN = "now", "start", "shutdown"
WHENS = (NOW, START, SHUTDOWN)
LONGEST_SPREAD_S, LONGEST_DURATION_S, LONGEST_SENDING_S = 7 * 86_400, 7 * 86_400, 366 * 86_400
MOST_TRIES, LONGEST_PAUSE_S = 100, 86_400
MOST_PROGRAMS, _LONGEST_NAME = 20, 255
_USUAL_PAUSE_S = 60
#: Pauses double up to this, or to the first one where that is longer.
_GROWN_PAUSE_S = 3600
_LAST_MOMENT = 1 << 53
#: Codes of failures that another try can't mend: the content or the order itself is wrong.
HOPELESS = frozenset(
    {"package.invalid", "tree.digest", "tree.path", "tree.collision", "order.mismatch", "path.foreign", "agent.bug"}
)


@dataclass(frozen=True, slots=True)
class Tries:
    """How often something is tried.

    Attributes:
        most: tries in all.
        pause_s: before the second; doubled each time, up to an hour.
        codes: of failures that are worth another try; empty is all but hopeless ones.
    """

    most: int = 1
    pause_s: int = _USUAL_PAUSE_S
    codes: frozenset[str] = frozenset()

    def pause_after(self, failed: int, code: str) -> int | None:
        """Milliseconds until the next try after the `failed`-th failed with `code`; None when there is none."""
        worth = code in self.codes if self.codes else code not in HOPELESS
        if failed >= self.most or not worth:
            return None
        grown = self.pause_s << min(failed - 1, 20)
        return min(grown, max(_GROWN_PAUSE_S, self.pause_s)) * 1000


@dataclass(frozen=True, slots=True)
class Times:
    """What an order says of times; 0 is nothing said.

    Attributes:
        distribute_at: nothing of the content moves before.
        install_at: nothing is installed before.
        switch_at: as `install_at`, and at once on all that are prepared: no spread.
        prepare_by: the gateways are to hold it by then.
        deadline: it is to be installed by then.
        window: installed only inside.
        when: at once, or at the agent's next start, or as it is stopped.
        unless: not while a program of one of these names runs.
        spread_s: the start is spread over so long, by the node's name.
        fetch_spread_s: the start of the way to the targets is spread over so long, by the node's name.
        max_duration_s: longer no installation takes, or is let take.
        send_timeout_s: longer no try of the way to the target takes, from when it may begin.
    """

    distribute_at: int = 0
    install_at: int = 0
    switch_at: int = 0
    prepare_by: int = 0
    deadline: int = 0
    window: tuple[Window, ...] = ()
    when: str = NOW
    unless: tuple[str, ...] = ()
    spread_s: int = 0
    max_duration_s: int = 0
    send_timeout_s: int = 0
    fetch_spread_s: int = 0
    transfer: Tries = Tries()
    installation: Tries = Tries()

    @property
    def not_before(self) -> int:
        """The first moment at which it may be installed."""
        return max(self.install_at, self.switch_at)


def read(options: Mapping[str, object]) -> Times:
    """What `options` say of times; other words are passed over.

    Raises:
        UsageError: times.*, window.invalid.
    """
    when = options.get(INSTALL_WHEN, NOW)
    if when not in WHENS:
        raise _wrong(INSTALL_WHEN, when, f"one of {', '.join(WHENS)}")
    moments = {word: _whole(options, word, 1, _LAST_MOMENT, "a time") or 0 for word in MOMENTS}
    return Times(
        **moments,
        window=_window(options),
        when=str(when),
        unless=_programs(options),
        spread_s=_whole(options, SPREAD, 1, LONGEST_SPREAD_S, "1 s to 7 days") or 0,
        max_duration_s=_whole(options, MAX_DURATION, 1, LONGEST_DURATION_S, "1 s to 7 days") or 0,
        fetch_spread_s=_whole(options, FETCH_SPREAD, 1, LONGEST_SPREAD_S, "1 s to 7 days") or 0,
        send_timeout_s=_whole(options, SEND_TIMEOUT, 1, LONGEST_SENDING_S, "1 s to 366 days") or 0,
        transfer=_tries(options, TRIES, PAUSE, CODES),
        installation=_tries(options, INSTALL_TRIES, INSTALL_PAUSE, INSTALL_CODES),
    )


def _window(options: Mapping[str, object]) -> tuple[Window, ...]:
    text = options.get(INSTALL_WINDOW, "")
    if not isinstance(text, str):
        raise _wrong(INSTALL_WINDOW, text, "a text such as mon-fri 22:00-06:00")
    windows = calendar.parse(text) if text else ()
    if any(window.rate is not None for window in windows):
        raise _wrong(INSTALL_WINDOW, text, "windows without a rate: an installation has none")
    return windows


def _programs(options: Mapping[str, object]) -> tuple[str, ...]:
    text = options.get(INSTALL_UNLESS, "")
    names = tuple(name.strip() for name in text.split(",") if name.strip()) if isinstance(text, str) else None
    if names is None or len(names) > MOST_PROGRAMS or any("/" in name or len(name) > _LONGEST_NAME for name in names):
        raise _wrong(INSTALL_UNLESS, text, f"at most {MOST_PROGRAMS} names of programs, without a path")
    return names


def _tries(options: Mapping[str, object], most: str, pause: str, codes: str) -> Tries:
    text = options.get(codes, "")
    if not isinstance(text, str):
        raise _wrong(codes, text, "codes with commas between them")
    return Tries(
        _whole(options, most, 1, MOST_TRIES, f"1 to {MOST_TRIES}") or 1,
        _whole(options, pause, 1, LONGEST_PAUSE_S, "1 s to 24 hours") or _USUAL_PAUSE_S,
        frozenset(code.strip() for code in text.split(",") if code.strip()),
    )


def _whole(options: Mapping[str, object], word: str, least: int, most: int, expected: str) -> int | None:
    value = options.get(word)
    if value is None:
        return None
    if type(value) is not int or not least <= value <= most:
        raise _wrong(word, value, expected)
    return value


def _wrong(word: str, value: object, expected: str) -> UsageError:
    name = word.removesuffix("_s").replace("_", "-")
    return UsageError(
        code=f"times.{word}", what=f"{name} is {str(value)[:80]!r}", todo=f"It must be {expected}. Nothing was done."
    )
