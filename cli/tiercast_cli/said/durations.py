"""Lengths and points of time, sizes and rates as people type them at the command line."""

from __future__ import annotations

import re

from tiercast_protocol.errors import UsageError

_TIME = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400, "w": 604800}
_SIZE = {
    "": 1,
    "b": 1,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "kib": 2**10,
    "mib": 2**20,
    "gib": 2**30,
}
_MILLIS = {"ms": 1, "s": 1000, "m": 60_000, "min": 60_000, "h": 3_600_000}
_BITS = {"bit": 1, "kbit": 10**3, "mbit": 10**6, "gbit": 10**9}
_NUMBER = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]*)\s*\Z")


def seconds_of(text: str, option: str) -> int:
    """Seconds of "90s", "30m", "12h", "7d".

    Raises:
        UsageError: anything else.
    """
    found = _NUMBER.match(text)
    unit = _TIME.get(found.group(2).lower()) if found else None
    if found is None or unit is None or float(found.group(1)) <= 0:
        raise UsageError("time.invalid", f"{text!r} is not a length of time", option, "Write 90s, 30m, 12h or 7d.")
    return max(1, int(float(found.group(1)) * unit))


def rate_of(text: str, option: str) -> int:
    """Bytes per second of "20MB/s", "512KiB/s", "100Mbit/s"; 0 for "unlimited".

    Raises:
        UsageError: anything else.
    """
    if text.strip().lower() in {"0", "unlimited", "none"}:
        return 0
    amount, slash, per = text.partition("/")
    found = _NUMBER.match(amount)
    if found is not None and (not slash or per.strip() == "s"):
        unit = found.group(2).lower()
        if unit in _BITS:
            return max(1, int(float(found.group(1)) * _BITS[unit] / 8))
        if unit in _SIZE:
            return max(1, int(float(found.group(1)) * _SIZE[unit]))
    raise UsageError(
        "rate.invalid", f"{text!r} is not a rate", option, "Write 20MB/s, 512KiB/s, 100Mbit/s or unlimited."
    )


def milliseconds_of(text: str, option: str) -> int:
    """Milliseconds of "250ms", "2s", "1m".

    Raises:
        UsageError: anything else.
    """
    found = _NUMBER.match(text)
    unit = _MILLIS.get(found.group(2).lower()) if found else None
    if found is None or unit is None or float(found.group(1)) <= 0:
        raise UsageError("time.invalid", f"{text!r} is not a length of time", option, "Write 250ms or 2s.")
    return max(1, int(float(found.group(1)) * unit))


def size_of(text: str, option: str) -> int:
    """Bytes of "4MiB", "2GB", "65536".

    Raises:
        UsageError: anything else.
    """
    found = _NUMBER.match(text)
    unit = _SIZE.get(found.group(2).lower()) if found else None
    if found is None or unit is None:
        raise UsageError("size.invalid", f"{text!r} is not a size", option, "Write 4MiB, 2GB or 65536.")
    return int(float(found.group(1)) * unit)


def moment_of(text: str, option: str, now: float) -> int:
    """Milliseconds since 1970 of the local "2026-12-24 18:00", or of the next "18:00" after `now` (seconds).

    Raises:
        UsageError: anything else, and what is over.
    """
    from tiercast_protocol.transfer.calendar import read_moment  # noqa: PLC0415 - only who gives a time pays for it

    try:
        return int(read_moment(text, now) * 1000)
    except ValueError as error:
        what = str(error) if "over" in str(error) else f"{text!r} is no time"
        todo = "Write 18:00 or 2026-12-24 18:00, still to come."
        if (found := _NUMBER.match(text)) and found.group(2):
            todo += (
                " That is a length of time: an option that takes one, --for or --expires say, is meant, or a moment."
            )
        raise UsageError("time.invalid", what, option, todo) from None
