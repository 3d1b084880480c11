"""What the owner of a machine asks of the link to its parent (docs/protocol-steering.md, section 6).

Rules
- Wishes stand in the settings file and are said to whichever parent there is: split and rate in every report, whether
  the link is metered in `Hello`.  The parent takes the stricter of them and of what it was told itself.
- The owner's exception ("all jobs may use the metered link until then") is kept in a file of its own, so that it
  survives a restart, and ends by itself by this machine's clock.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from tiercast_protocol.errors import ConfigError, Mistake, UsageError
from tiercast_protocol.node.config import Duration, Rate, Size, setting
from tiercast_protocol.node.control.verbs import Call, Verbs
from tiercast_protocol.node.joined import write_private
from tiercast_protocol.node.upstream import Upstream
from tiercast_protocol.transfer.policy import (
    LARGEST_SEGMENT,
    LEAST_RATE,
    LEAST_SEGMENT,
    LONGEST_PAUSE,
    SHORTEST_PAUSE,
)

log = structlog.get_logger(__name__)

FILE = "transfer.json"
#: What `Hello.metered` says.
NOTHING, METERED, ALLOWED = 0, 1, 2
#: Longest time between two looks at the clock while an exception stands.
_LOOK = 1.0


def _segment(size: int) -> str | None:
    return None if not size or LEAST_SEGMENT <= size <= LARGEST_SEGMENT else '0, or "1KiB" to "2GiB"'


def _pause(seconds: float) -> str | None:
    return None if not seconds or SHORTEST_PAUSE <= seconds <= LONGEST_PAUSE else '0, or "1s" to "24h"'


def _rate(rate: int) -> str | None:
    return None if not rate or rate >= LEAST_RATE else f'"unlimited", or {LEAST_RATE} bytes per second and more'


@dataclass(frozen=True, slots=True)
class TransferSettings:
    """The table `[transfer]`."""

    segment: Size = setting(
        Size(0), doc='Split: after so much ("4MiB") a pause. Goes with pause; 0 is none.', check=_segment
    )
    pause: Duration = setting(Duration(0.0), doc='That pause: "1s" to "24h".', check=_pause)
    rate: Rate = setting(Rate(0), doc='Most that the parent sends: "2MB/s", or "unlimited".', check=_rate)
    metered: bool = setting(
        default=False, doc="The link to the parent is metered: only jobs that may use such links do."
    )

    def checked(self, file: Path) -> TransferSettings:
        """The same.

        Raises:
            ConfigError: segment and pause are not given together.
        """
        if bool(self.segment) != bool(self.pause):
            missing = "pause" if self.segment else "segment"
            mistake = Mistake(f"transfer.{missing}", "it is missing", "segment and pause together, or neither")
            raise ConfigError(str(file), (mistake,))
        return self


class Owner:
    """Says the owner's wishes over `upstream`.

    Args:
        settings: the table `[transfer]`.
        folder: where the exception is kept.
        upstream: the way to the parent.
        clock: seconds since 1970.
    """

    def __init__(
        self, settings: TransferSettings, folder: Path, upstream: Upstream, clock: Callable[[], float] = time.time
    ) -> None:
        self._settings, self._path, self._upstream, self._clock = settings, folder / FILE, upstream, clock
        self._until = self._kept()
        self._changed = asyncio.Event()
        upstream.metered = self.metered

    def metered(self) -> int:
        """What `Hello` says now."""
        if self._until > self._clock():
            return ALLOWED
        return METERED if self._settings.metered else NOTHING

    async def run(self) -> None:
        """Say the wishes, and what becomes of the exception, until cancelled."""
        settings = self._settings
        self._upstream.set_terms(settings.segment, settings.pause, settings.rate)
        said = self.metered()
        while True:
            self._changed.clear()
            if self.metered() != said:
                said = self.metered()
                log.info("transfer.metered", says=said)
                await self._upstream.greet()
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK if said == ALLOWED else None):
                    await self._changed.wait()

    def register(self, verbs: Verbs) -> None:
        """Put the owner's verbs into the socket's table."""
        verbs.add("transfer.show", "viewer", self._show)
        verbs.add("transfer.allow", "operator", self._allow)
        verbs.add("transfer.forbid", "operator", self._forbid)

    def shown(self) -> dict[str, Any]:
        """The wishes, and whether the exception stands."""
        settings, allowed = self._settings, self.metered() == ALLOWED
        return {
            "segment": settings.segment,
            "pause_s": settings.pause,
            "rate": settings.rate,
            "metered": settings.metered,
            "allowed_until": int(self._until * 1000) if allowed else 0,
        }

    async def _show(self, call: Call) -> dict[str, Any]:
        """What this machine asks of the link to its parent."""
        del call
        return self.shown()

    async def _allow(self, call: Call) -> dict[str, Any]:
        """All jobs may use the link until then (`until`, milliseconds since 1970), metered or not."""
        until = call.number("until")
        if until <= self._clock() * 1000:
            raise UsageError(code="time.over", what="That time is over", todo="Give a time that is to come.")
        return await self._set(until / 1000)

    async def _forbid(self, call: Call) -> dict[str, Any]:
        """The exception ends now."""
        del call
        return await self._set(0.0)

    async def _set(self, until: float) -> dict[str, Any]:
        await asyncio.to_thread(write_private, self._path, json.dumps({"format": 1, "allowed_until": until}) + "\n")
        self._until = until
        self._changed.set()
        return self.shown()

    def _kept(self) -> float:
        try:
            return float(json.loads(self._path.read_text())["allowed_until"])
        except FileNotFoundError:
            return 0.0
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.warning("transfer.unread", file=str(self._path), reason=str(error))
            return 0.0
