"""Lengths of time, sizes and rates as people type them at the command line."""

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
