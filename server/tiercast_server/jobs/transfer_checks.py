"""What can't work of what a job says of its transfer: refused when it is ordered, with the figures.

Rules
- Single values are checked where they are read (`transfer/terms.py`); here they meet the package and the expiry.
- Only what is impossible is refused.  Sizes are those of the stored chunks: that is the most that travels.
- Local windows are judged by this server's clock and zone; each gateway keeps them by its own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from tiercast_protocol.content.jobs import times
from tiercast_protocol.errors import UsageError
from tiercast_protocol.transfer import calendar
from tiercast_protocol.transfer.cutting import LARGEST_FRAME
from tiercast_protocol.transfer.policy import Pace
from tiercast_protocol.transfer.terms import Quota, job_words

#: Seconds of each period, at least.
_PERIODS = {"day": 23 * 3600, "week": 7 * 86_400 - 3600, "month": 28 * 86_400 - 3600}


def check_possible(options: Mapping[str, object], *, size: int, now: float, left: float, whole: int = 0) -> None:
    """Check that `size` bytes can be with the targets in `left` seconds from `now` (seconds since 1970).

    `whole` is the package where less than that is left to send.

    Raises:
        UsageError: transfer.*, window.*; with the figures.
    """
    said = job_words(options)
    pace, windows = said.policy.pace, said.windows
    whole = max(whole, size)
    if pace.segment is not None and pace.segment > whole:
        raise _impossible(
            "segment",
            f"A segment of {pace.segment:,} bytes is larger than the package, which is {whole:,}: it would never pause",
            "Give a smaller segment, or leave segment and pause out.",
        )
    _check_budget(options, said.quota, pace.rate, size, left)
    _check_pauses(pace, size, left, f"the job expires in {left:,.0f} s", "a later expiry")
    sending = times.read(options)
    if sending.send_timeout_s and sending.transfer.most == 1:
        most = sending.send_timeout_s
        _check_pauses(pace, size, most, f"the one try may take {most:,} s", "a longer --send-timeout, or more --tries")
    _check_time(pace, windows, size, now, left)


def _check_budget(
    options: Mapping[str, object], quota: Quota | None, rate: float | None, size: int, left: float
) -> None:
    if quota is None:
        if options.get("per") is not None:
            raise _impossible("per", f"There is no budget per {options['per']}", "Give a budget too, or leave per out.")
        return
    if quota.per == "job":
        periods, within = 1, "for the job"
    else:
        # the first and the last are cut: at most so many begin and end
        periods = math.floor(left / _PERIODS[quota.per]) + 2
        within = f"per {quota.per}, in at most {periods:,} of them until the job expires,"
    rooms: list[tuple[float, str]] = [] if quota.bytes is None else [(quota.bytes, f"{quota.bytes:,} bytes")]
    if quota.seconds is not None and rate is not None:
        rooms.append((quota.seconds * rate, f"{quota.seconds:,} s at {rate:,.0f} bytes per second"))
    for room, figure in rooms:
        if room * periods < size:
            raise _impossible(
                "budget",
                f"A budget of {figure} {within} carries {room * periods:,.0f} bytes; {size:,} are to be sent",
                "Give a larger budget or a later expiry (--expires), or leave it out.",
            )


def _check_pauses(pace: Pace, size: int, left: float, because: str, remedy: str) -> None:
    if pace.segment is not None:
        segments = math.ceil(size / pace.segment)
        pauses = (segments - 1) * pace.pause
        if pauses > left:
            raise _impossible(
                "pause",
                f"{segments:,} segments of {pace.segment:,} bytes with pauses of {pace.pause:g} s"
                f" take {pauses:,.0f} s at least; {because}",
                f"Give larger segments, shorter pauses, or {remedy}.",
            )
    if pace.frames is not None:
        # a frame carries at most this much, so there are at least so many
        frames = math.ceil(size / LARGEST_FRAME)
        pauses = (math.ceil(frames / pace.frames) - 1) * pace.frame_pause
        if pauses > left:
            raise _impossible(
                "frame_pause_ms",
                f"{frames:,} frames at least, with {pace.frame_pause:g} s after every {pace.frames:,} of them,"
                f" take {pauses:,.0f} s; {because}",
                f"Give more frames between two pauses, shorter pauses, or {remedy}.",
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
