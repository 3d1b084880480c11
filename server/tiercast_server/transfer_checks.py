"""What can't work of what a job says of its transfer: refused when it is ordered, with the figures.

Rules
- Single values are checked where they are read (`transfer/terms.py`); here they meet the package and the expiry.
- Only what is impossible is refused.  Sizes are those of the stored chunks: that is the most that travels.
- Local windows are judged by this server's clock and zone; each gateway keeps them by its own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from tiercast_protocol.errors import UsageError
from tiercast_protocol.transfer import calendar
from tiercast_protocol.transfer.cutting import DEFAULT_FRAME
from tiercast_protocol.transfer.policy import Pace
from tiercast_protocol.transfer.terms import job_words


def check_possible(options: Mapping[str, object], *, size: int, now: float, left: float) -> None:
    """Check that `size` bytes can be with the targets in `left` seconds from `now` (seconds since 1970).

    Raises:
        UsageError: transfer.*, window.*; with the figures.
    """
    said = job_words(options)
    pace, windows = said.policy.pace, said.windows
    if pace.segment is not None and pace.segment > size:
        raise _impossible(
            "segment",
            f"A segment of {pace.segment:,} bytes is larger than the package, which is {size:,}: it would never pause",
            "Give a smaller segment, or leave segment and pause out.",
        )
    if pace.budget is not None and pace.budget < size and said.quota is not None and said.quota.per == "job":
        raise _impossible(
            "budget",
            f"A budget of {pace.budget:,} bytes for the job is below the package, which is {size:,}",
            "Give a larger budget, one per day, or leave it out.",
        )
    _check_pauses(pace, size, left)
    _check_time(pace, windows, size, now, left)


def _check_pauses(pace: Pace, size: int, left: float) -> None:
    pauses = 0.0
    if pace.segment is not None:
        pauses = (math.ceil(size / pace.segment) - 1) * pace.pause
        if pauses > left:
            raise _impossible(
                "pause",
                f"{math.ceil(size / pace.segment):,} segments of {pace.segment:,} bytes with pauses of {pace.pause:g} s"
                f" take {pauses:,.0f} s at least; the job expires in {left:,.0f} s",
                "Give larger segments, shorter pauses, or a later expiry.",
            )
    if pace.frames is not None:
        # a frame carries at most this much, so there are at least so many
        frames = math.ceil(size / DEFAULT_FRAME)
        pauses = (math.ceil(frames / pace.frames) - 1) * pace.frame_pause
        if pauses > left:
            raise _impossible(
                "frame_pause_ms",
                f"{frames:,} frames at least, with {pace.frame_pause:g} s after every {pace.frames:,} of them,"
                f" take {pauses:,.0f} s; the job expires in {left:,.0f} s",
                "Give more frames between two pauses, shorter pauses, or a later expiry.",
            )


def _check_time(pace: Pace, windows: tuple[calendar.Window, ...], size: int, now: float, left: float) -> None:
    seconds, room = calendar.capacity(windows, now, now + left, pace.rate)
    if seconds <= 0:
        raise UsageError(
            code="window.never",
            what=f"The window {calendar.shown(windows)} never opens in the {left:,.0f} s until the job expires",
            todo="Give a later expiry (--expires), or a window that opens before it.",
        )
    if room < size:
        rate = f"at {pace.rate:,.0f} bytes per second " if pace.rate is not None else ""
        inside = f" in the {seconds:,.0f} s in which its window is open" if windows else f" in {left:,.0f} s"
        raise _impossible(
            "rate",
            f"{size:,} bytes can't be sent {rate}before the job expires: {room:,.0f} fit{inside}",
            "Give a higher rate, a longer window, or a later expiry (--expires).",
        )


def _impossible(key: str, what: str, todo: str) -> UsageError:
    return UsageError(code=f"transfer.{key}", what=what, todo=f"{todo} Nothing was done.")
