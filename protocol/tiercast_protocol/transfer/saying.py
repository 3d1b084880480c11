"""When a child says something to its parent (docs/protocol.md, section 6).

Rules
- Wants are said at once, but a few more than are asked already wait for company: a parent of many reads all of them.
- Progress is said by its size and age: a quarter of the window at once, a little rarely.
"""

from __future__ import annotations

#: Shortest pause between two reports of a sixteenth of the window, or of a few wants behind many.
BRISK_PAUSE = 0.035
#: Shortest pause between two reports that are not worth `Grant.step` bytes, in seconds.
REPORT_PAUSE = 0.025
#: The same while less than `SMALL_PROGRESS` bytes came: on a thin link reports must not cost a share of it.
SLOW_PAUSE = 0.25
SMALL_PROGRESS = 32 * 1024
#: Of wants: so many are worth a report, and of so many that are asked a few more can wait.
MANY_WANTS = 128
ENOUGH_ASKED = 256


def wants_due(count: int, asked: int, told_at: float) -> float:
    """When `count` new wants are to be said, of `asked` in all."""
    return told_at + BRISK_PAUSE if 0 < count < MANY_WANTS and asked - count >= ENOUGH_ASKED else told_at


def progress_due(untold: int, step: int, told_at: float, heard_at: float) -> float:
    """When `untold` bytes of progress are to be said, of which `step` are worth a report at once."""
    if untold >= step:
        return told_at
    if untold >= step // 4:
        return told_at + BRISK_PAUSE
    pause = REPORT_PAUSE if untold >= SMALL_PROGRESS else SLOW_PAUSE
    return max(min(told_at + pause, heard_at + REPORT_PAUSE), told_at + REPORT_PAUSE)
