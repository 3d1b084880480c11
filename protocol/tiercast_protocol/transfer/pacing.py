"""How fast a link may be filled: a token bucket that runs into debt.

Rules
- A frame may go while the bucket is not in debt, and its whole cost is taken at once: so the average holds
  whatever the frame's size, and no frame waits for a bucket that is smaller than itself.
- What was saved up while idle is bounded by `BURST` seconds of the rate: a pause never ends in a flood.
- No clock of its own: `now` is handed in, and a time that steps back adds nothing.
"""

from __future__ import annotations

#: Seconds of the rate that may be saved up: what a frame is cut to (docs/protocol-transfer.md, section 6.6).
BURST = 0.05
_ROUNDING = 1e-3


class TokenBucket:
    """Paces one link, or all links together.  `rate` is bytes per second, None is unlimited."""

    __slots__ = ("_at", "_level", "rate")

    def __init__(self, rate: float | None = None) -> None:
        self.rate = rate
        self._level = 0.0
        self._at = float("-inf")

    def set_rate(self, rate: float | None, now: float) -> None:
        """Change the rate from now on.  A debt stays, in seconds rather than bytes: none is paid twice.

        Raises:
            ValueError: a rate that is not positive.
        """
        if rate is not None and not rate > 0:
            raise ValueError(f"a rate of {rate} bytes per second")
        self._refill(now)
        if rate is None or self.rate is None:
            self._level = 0.0
        else:
            self._level *= rate / self.rate
        self.rate = rate

    def take(self, cost: int, now: float) -> None:
        """Spend `cost` bytes, into debt if need be."""
        if self.rate is not None:
            self._refill(now)
            self._level -= cost

    def ready_at(self, now: float) -> float:
        """The earliest time at which the next frame may go; not later than `now` means at once."""
        if self.rate is None:
            return now
        self._refill(now)
        return now if self._level >= 0 else now - self._level / self.rate

    def _refill(self, now: float) -> None:
        if self.rate is not None and now > self._at:
            full = self.rate * BURST
            waited = min(now - self._at, 1e9)
            self._level = min(full, self._level + waited * self.rate)
            # A debt of a part of a byte is rounding: it would only wake us for nothing.
            if -_ROUNDING < self._level < 0:
                self._level = 0.0
        self._at = max(self._at, now)
