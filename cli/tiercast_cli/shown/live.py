"""Shows a running job: a table that moves on a terminal, plain lines anywhere else.

Rules
- Nothing here decides anything: `progress.py` says what to show.
- Ctrl-C only stops the watching, and says so; the job is the server's.
"""

from __future__ import annotations

import sys
import time
from contextlib import aclosing
from typing import Any

from tiercast_cli.shown.progress import Progress
from tiercast_cli.talk.session import connected

#: Targets that a watch shows: those that ended badly, and those at work; of the others their number.
MOST = 200


async def follow(job: str, *, quiet: bool = False) -> Progress:
    """Watch `job` until it has ended.

    Args:
        job: the job's id.
        quiet: print nothing (`--json`).

    Returns:
        The last state seen.
    """
    progress = Progress()
    async with connected() as client, aclosing(client.stream("job.watch", job=job, most=MOST)) as snapshots:
        if quiet or not sys.stdout.isatty():
            async for snapshot in snapshots:
                progress.take(snapshot, now=time.monotonic())
                if not quiet:
                    _print_lines(progress)
        else:
            await _draw(progress, snapshots)
    return progress


def _print_lines(progress: Progress) -> None:
    for line in progress.lines():
        print(line, flush=True)


async def _draw(progress: Progress, snapshots: Any) -> None:
    from rich.console import Group  # noqa: PLC0415 - rich costs 60 ms, and only a terminal needs it
    from rich.live import Live  # noqa: PLC0415 - as above
    from rich.table import Table  # noqa: PLC0415 - as above
    from rich.text import Text  # noqa: PLC0415 - as above

    def picture() -> Group:
        table = Table(box=None, pad_edge=False)
        for column in ("node", "state", "held", "rate", ""):
            table.add_column(column, justify="right" if column in {"held", "rate"} else "left")
        for row in progress.rows():
            table.add_row(*row)
        return Group(Text(progress.headline()), table)  # a table's title would be folded to the table's width

    with Live(auto_refresh=False) as live:
        async for snapshot in snapshots:
            progress.take(snapshot, now=time.monotonic())
            live.update(picture(), refresh=True)
