"""What an administrator may say about the transfer of a job and about a link (docs/protocol.md, section 6).

Rules
- One value per thing that may be said, None where nothing was said; the machines ask only these.
- Rates are bytes per second, sizes bytes, pauses seconds.  A job's options and a link's settings use the same words.
- What makes a transfer impossible is refused here, with the figures, and not found out while it runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from tiercast_protocol.errors import UsageError

N = TypeVar("N", int, float)

LOWEST_PRIORITY, USUAL_PRIORITY, HIGHEST_PRIORITY = 1, 5, 9
LEAST_SEGMENT, LARGEST_SEGMENT = 1 << 10, 2 << 30
SHORTEST_PAUSE, LONGEST_PAUSE = 1.0, 86_400.0
LEAST_RATE = 1024
MOST_FRAMES, LONGEST_FRAME_PAUSE = 1_000_000, 86_400.0
FANOUTS = ("auto", "multicast", "unicast")


@dataclass(frozen=True, slots=True)
class Pace:
    """What a job, a link or a child may ask for alike; of two, the stricter wins.

    Attributes:
        rate: most bytes per second.
        floor: bytes per second that are left to it whatever comes before it.
        segment, pause: split distribution: after so many bytes so many seconds of silence.
        frames, frame_pause: interval transfer: after so many frames so many seconds of silence.
        budget: bytes after which nothing more is sent (by it, over one link).
    """

    rate: float | None = None
    floor: float | None = None
    segment: int | None = None
    pause: float = 0.0
    frames: int | None = None
    frame_pause: float = 0.0
    budget: int | None = None


@dataclass(frozen=True, slots=True)
class JobPolicy:
    """How the chunks of one job travel; the same at every tier.

    Attributes:
        priority: 1 to 9; the higher goes first, between frames.
        fanout: "auto" groups children of like speed, "multicast" whoever wants the same, "unicast" nobody.
        pass_suspended: goes on over links that are suspended.
        metered: may use links that are metered.
    """

    pace: Pace = Pace()
    priority: int = USUAL_PRIORITY
    fanout: str = "auto"
    pass_suspended: bool = False
    metered: bool = False


@dataclass(frozen=True, slots=True)
class LinkPolicy:
    """How one child is served.

    Attributes:
        pace: a `rate` of 0 is a window that is shut: nothing goes until the next policy.
        metered: only jobs that may use metered links are served.
        adaptive: yield when the round trip grows: somebody else needs the link.  Never below the pace's floor.
    """

    pace: Pace = Pace()
    metered: bool = False
    adaptive: bool = False


#: Words that people give by another name.
_OPTIONS = {"frames": "interval-frames", "frame_pause_ms": "interval-pause"}


def stricter(one: Pace, other: Pace) -> Pace:
    """Of each term the stricter: the lower rate, the smaller segment, the longer pause.

    A floor is a promise and no term: it is the first's, as far as the rate allows.
    """
    rate = _least(one.rate, other.rate)
    floor = one.floor if rate is None or one.floor is None else min(one.floor, rate)
    return Pace(
        rate=rate,
        floor=floor,
        segment=_least(one.segment, other.segment),
        pause=max(one.pause, other.pause),
        frames=_least(one.frames, other.frames),
        frame_pause=max(one.frame_pause, other.frame_pause),
        budget=_least(one.budget, other.budget),
    )


def _least(one: N | None, other: N | None) -> N | None:
    if one is None or other is None:
        return other if one is None else one
    return min(one, other)


def _said(key: str) -> str:
    """The word as the command line has it."""
    return _OPTIONS.get(key, key)


def _number(options: Mapping[str, object], key: str, least: float, most: float, unit: str) -> float | None:
    value = options.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise UsageError(
            code=f"transfer.{key}",
            what=f"{_said(key)} is {value!r}: it must be {least:.0f} to {most:.0f} {unit}",
            todo=f"Give {_said(key)} within these limits, or leave it out.",
        )
    return float(value)


def _whole(options: Mapping[str, object], key: str, least: float, most: float, unit: str) -> int | None:
    value = _number(options, key, least, most, unit)
    return None if value is None else int(value)


def _pair(options: Mapping[str, object], key: str, with_: str) -> None:
    if (options.get(key) is None) != (options.get(with_) is None):
        raise UsageError(
            code=f"transfer.{key}",
            what=f"{_said(key)} and {_said(with_)} belong together: only one of them was given",
            todo=f"Give both {_said(key)} and {_said(with_)}, or neither.",
        )


def pace_of(options: Mapping[str, object]) -> Pace:
    """The pace that `options` ask for: keys `rate`, `floor`, `segment`, `pause`, `frames`, `frame_pause_ms`, `budget`.

    Raises:
        UsageError: a value out of its limits, a pair of which one is missing, a floor above its rate.
    """
    _pair(options, "segment", "pause")
    _pair(options, "frames", "frame_pause_ms")
    rate = _number(options, "rate", LEAST_RATE, 1e12, "bytes per second")
    floor = _number(options, "floor", 1, 1e12, "bytes per second")
    if rate is not None and floor is not None and floor > rate:
        raise UsageError(
            code="transfer.floor",
            what=f"A floor of {floor:,.0f} bytes per second is above the rate of {rate:,.0f}",
            todo="Give a floor that is not above the rate.",
        )
    frame_pause = _number(options, "frame_pause_ms", 1, LONGEST_FRAME_PAUSE * 1000, "milliseconds")
    return Pace(
        rate=rate,
        floor=floor,
        segment=_whole(options, "segment", LEAST_SEGMENT, LARGEST_SEGMENT, "bytes"),
        pause=_number(options, "pause", SHORTEST_PAUSE, LONGEST_PAUSE, "seconds") or 0.0,
        frames=_whole(options, "frames", 1, MOST_FRAMES, "frames"),
        frame_pause=(frame_pause or 0.0) / 1000,
        budget=_whole(options, "budget", 1, 1 << 53, "bytes"),
    )


def job_policy(options: Mapping[str, object]) -> JobPolicy:
    """The policy in an order's options: those of `pace_of` and `priority`, `fanout`, `pass_suspended`, `metered`.

    Raises:
        UsageError: as `pace_of`; an unknown fanout.
    """
    fanout = options.get("fanout", "auto")
    if fanout not in FANOUTS:
        raise UsageError(
            code="transfer.fanout", what=f"fanout is {fanout!r}", todo=f"Choose one of: {', '.join(FANOUTS)}."
        )
    priority = _whole(options, "priority", LOWEST_PRIORITY, HIGHEST_PRIORITY, "(9 is the most urgent)")
    return JobPolicy(
        pace=pace_of(options),
        priority=USUAL_PRIORITY if priority is None else priority,
        fanout=str(fanout),
        pass_suspended=options.get("pass_suspended") is True,
        metered=options.get("metered") is True,
    )
