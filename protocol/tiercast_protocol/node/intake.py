"""From what arrived to its handler: one queue per neighbour, bounded, in order.

Rules (docs/protocol.md, section 5)
- Messages of one neighbour are handled one after the other; different neighbours do not wait for each other.
- A handler that raises `ProtocolError` is not called again (it will never get better); any other error leaves the
  message undone, so that its sender repeats it.
- Nothing that a neighbour sends grows without bound: what does not fit is dropped before it is acknowledged, and
  so comes again.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import structlog

from tiercast_protocol.errors import ProtocolError
from tiercast_protocol.wire.envelope import Envelope
from tiercast_protocol.wire.messages import CATALOGUE, EPHEMERAL

log = structlog.get_logger(__name__)

Handler = Callable[[str, Envelope], Awaitable[None]]

#: Most messages, and bytes, that wait from one neighbour, and bytes from all.
QUEUE_MESSAGES = 1000
QUEUE_BYTES = 8 << 20
ALL_BYTES = 32 << 20


@dataclass(slots=True)
class _Queue:
    waiting: deque[tuple[Envelope, int]] = field(default_factory=deque)
    size: int = 0
    busy: bool = False


class Intake:
    """Handlers and queues of the node `me`.

    `is_seen(peer, id)` tells whether a message was acted on before; `done(peer, id)` is called when one was.
    `ready` are the peers for whom somebody must now run `drain`.
    """

    def __init__(
        self,
        *,
        me: str,
        counts: Counter[str],
        now_ms: Callable[[], int],
        is_seen: Callable[[str, bytes], bool],
        done: Callable[[str, bytes], None],
    ) -> None:
        self._me = me
        self._counts = counts
        self._now_ms = now_ms
        self._is_seen = is_seen
        self._done = done
        self._handlers: dict[str, Handler] = {}
        self._queues: dict[str, _Queue] = {}
        self._queued = 0
        self.relay: Handler | None = None
        self.ready: deque[str] = deque()

    def on(self, kind: str, handler: Handler) -> None:
        """Call `handler` for messages of this kind to this node."""
        if kind in self._handlers or kind not in CATALOGUE:
            raise ValueError(f"{kind} has a handler or is no kind")
        self._handlers[kind] = handler

    def accept(self, peer: str, envelope: Envelope, size: int) -> bool:
        """Queue a message of `size` bytes; whether `ready` has grown."""
        self._counts["received"] += 1
        self._counts[envelope.kind if envelope.kind in CATALOGUE else "unheard.of"] += 1
        queue = self._queues.setdefault(peer, _Queue())
        if (
            len(queue.waiting) >= QUEUE_MESSAGES
            or queue.size + size > QUEUE_BYTES
            or (queue.waiting and self._queued + size > ALL_BYTES)
        ):
            self._counts["overflow"] += 1
            return False
        queue.waiting.append((envelope, size))
        queue.size += size
        self._queued += size
        if queue.busy:
            return False
        queue.busy = True
        self.ready.append(peer)
        return True

    async def drain(self, peer: str) -> None:
        """Handle what waits from `peer`, until nothing does."""
        queue = self._queues[peer]
        try:
            while queue.waiting:
                envelope, size = queue.waiting.popleft()
                queue.size -= size
                self._queued -= size
                await self._handle(peer, envelope)
        finally:
            queue.busy = False
        self._queues.pop(peer, None)

    async def _handle(self, peer: str, envelope: Envelope) -> None:
        lasting = envelope.kind not in EPHEMERAL
        if lasting and self._is_seen(peer, envelope.id):
            self._counts["duplicate"] += 1
            return
        if 0 < envelope.expires <= self._now_ms():
            self._counts["expired"] += 1
        elif not await self._call(peer, envelope):
            return
        if lasting:
            self._done(peer, envelope.id)

    async def _call(self, peer: str, envelope: Envelope) -> bool:
        """Run the handler; whether the message is done with."""
        here = envelope.to in {"", self._me}
        handler = self._handlers.get(envelope.kind) if here else self.relay
        fields = {"peer": peer, "kind": envelope.kind, "cause": envelope.cause}
        if not here and envelope.kind in EPHEMERAL:
            # Nobody acknowledges it: in the outbox towards the next node it would be repeated for ever.
            self._counts["invalid"] += 1
            log.warning("message can't be relayed", **fields, to=envelope.to)
            return True
        if handler is None:
            self._counts["unknown"] += 1
            log.info("message of an unknown kind" if here else "message for another node", **fields, to=envelope.to)
            return True
        try:
            await handler(peer, envelope)
        except ProtocolError as error:
            self._counts["invalid"] += 1
            log.warning("message refused", **fields, reason=str(error))
        except Exception:
            self._counts["failed"] += 1
            log.exception("message not handled; its sender will repeat it", **fields)
            return False
        else:
            self._counts["handled"] += 1
        return True
