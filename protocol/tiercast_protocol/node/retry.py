"""When to try a broker again.

Rules
- Full jitter: a pause is drawn evenly between the floor and a bound that doubles per failure, so that a
  site's nodes do not come back all at once.  Lost connections: 0.02 .. 5 s, so that a short cut of a link costs
  a round trip or two and a long one few attempts.  Refused logins: up to 30 s.
- The bound falls back once a connection stood for a second: a broker that accepts and ends at once is not hammered.
"""

from __future__ import annotations

import random
from typing import Any

Login = tuple[str, str]

FLOOR, CEILING, REFUSED_CEILING = 0.02, 5.0, 30.0
#: Seconds that a connection must have stood to count as one.
STOOD = 1.0
#: CONNACK codes of MQTT 3.1.1 for a bad user or password and for no right to connect.
_REFUSALS = frozenset({4, 5, 134, 135})


class Pauses:
    """The pauses of one connection's attempts."""

    def __init__(self, rng: random.Random | None = None) -> None:
        self._rng = rng or random.Random()  # noqa: S311 - spreads load, keeps no secret
        self._failures = 0

    def lasted(self, seconds: float) -> None:
        """A connection has ended that stood for so long."""
        if seconds >= STOOD:
            self._failures = 0

    def next(self, *, refused: bool = False) -> float:
        """Seconds to wait before the next attempt."""
        self._failures += 1
        ceiling = REFUSED_CEILING if refused else CEILING
        bound = min(ceiling, FLOOR * 2.0 ** min(self._failures, 16))
        return self._rng.uniform(FLOOR, bound)


def refused_login(error: BaseException) -> bool:
    """Whether `error` says that the broker is there and does not take our login."""
    code: Any = getattr(error, "rc", getattr(error, "code", None))
    code = getattr(code, "value", code)
    return code in _REFUSALS
