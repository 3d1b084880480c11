"""The owner's own program, called with what happens here (docs/on-the-endpoint.md, "Desktops").

Rules
- One call at a time, in order; the event stands in its environment, nothing of it in its arguments.
- It runs with the rights of the user that the settings name, in a session of its own, and is ended after its time.
- Whatever it does, it is the owner's: its failure is a line in the log, and holds up nothing.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import structlog

from tiercast_endpoint.jobs import programs
from tiercast_endpoint.jobs.becoming import CanNotBecomeError, command_as, user_named
from tiercast_endpoint.owner.feed import ENDED, MESSAGE, NAMES, OFFERED, WAITING, Event, Feed
from tiercast_endpoint.threads import in_thread
from tiercast_protocol.node.config import Duration, setting

log = structlog.get_logger(__name__)

_OUTPUT = 4 << 10
_FOLDER = Path("/")
_LONGEST_S = 300.0
#: Longest text that goes into the environment, in characters.
_LONGEST = 4_000


def _program(argv: tuple[str, ...]) -> str | None:
    return None if not argv or argv[0].startswith("/") else "a program by its absolute path, and its arguments"


def _events(names: tuple[str, ...]) -> str | None:
    return None if set(names) <= set(NAMES) else f"some of {', '.join(NAMES)}"


def _time(seconds: float) -> str | None:
    return None if 0 < seconds <= _LONGEST_S else f'more than 0 and at most "{_LONGEST_S:.0f}s"'


@dataclass(frozen=True, slots=True)
class NotifySettings:
    """The table `[notify]`."""

    program: tuple[str, ...] = setting(
        (), doc='Called when something happens here: ["/usr/local/bin/tell-me"]; [] is none.', check=_program
    )
    events: tuple[str, ...] = setting(
        (OFFERED, MESSAGE, WAITING, ENDED), doc=f"When: {', '.join(NAMES)}.", check=_events
    )
    user: str = setting("", doc="With whose rights it runs; the agent's own where it is empty.")
    timeout: Duration = setting(Duration(10.0), doc="Longer it does not run.", check=_time)


class Notifying:
    """Calls the program.

    Args:
        settings: which one, and when.
        feed: what happens.
    """

    def __init__(self, settings: NotifySettings, feed: Feed) -> None:
        self._settings, self._feed = settings, feed

    async def run(self) -> None:
        """Call it for each event, until cancelled."""
        if not self._settings.program:
            return
        with self._feed.watching() as watcher:
            while True:
                event = await watcher.next()
                if event["event"] in self._settings.events:
                    await self._call(event)

    async def _call(self, event: Event) -> None:
        settings = self._settings
        try:
            user = await in_thread(user_named, settings.user)
            ran = await programs.run_program(
                command_as(user, settings.program[0], settings.program[1:]),
                cwd=_FOLDER,
                env=environment(event) | user.environment(),
                timeout_s=settings.timeout,
                grace_s=1.0,
                output_limit=_OUTPUT,
                on_started=_started,
                gated=True,
            )
        except (OSError, CanNotBecomeError) as error:
            log.warning("notify.failed", program=settings.program[0], reason=str(error))
            return
        if not ran.ok:
            said = ran.output.decode("utf-8", "replace")[:500]
            log.warning(
                "notify.failed", program=settings.program[0], exit=ran.exit, timed_out=ran.timed_out, output=said
            )


async def _started(_pid: int) -> None:
    return


def environment(event: Mapping[str, object]) -> dict[str, str]:
    """The event as the program gets it: a variable per field, and all as JSON."""
    found = {
        f"TIERCAST_{name.upper()}": str(value).replace("\0", "")[:_LONGEST]
        for name, value in event.items()
        if isinstance(value, str | int)
    }
    return {
        **found,
        "TIERCAST_JSON": json.dumps(event, ensure_ascii=False)[: 4 * _LONGEST].replace("\0", ""),
        "PATH": programs.PATH,
        "HOME": os.environ.get("HOME", "/"),
        "LANG": "C.UTF-8",
    }
