"""The last message of each topic that was published with RETAIN.

Rules
- Bounded in number and bytes; beyond it a new one is not kept (and that is told), an old one may still be replaced.
- An empty payload forgets the topic's message (section 3.3.1.3).
"""

from __future__ import annotations

from collections.abc import Iterator

from tiercast_mqtt.limits import Limits
from tiercast_mqtt.message import Message
from tiercast_mqtt.topics import matches


class Retained:
    """Retained messages by topic."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._messages: dict[str, Message] = {}
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._messages)

    def keep(self, message: Message) -> bool:
        """Keep (or, when it is empty, forget) the topic's message; False when there is no room."""
        old = self._messages.pop(message.topic, None)
        if old is not None:
            self.bytes -= old.cost
        if not len(message.payload):
            return True
        full = len(self._messages) >= self._limits.retained_messages
        if full or self.bytes + message.cost > self._limits.retained_bytes:
            return False
        self._messages[message.topic] = message
        self.bytes += message.cost
        return True

    def match(self, filter_: str) -> Iterator[Message]:
        """Every retained message that a new subscription to `filter_` gets."""
        if "+" not in filter_ and "#" not in filter_:
            message = self._messages.get(filter_)
            if message is not None:
                yield message
            return
        for topic, message in self._messages.items():
            if matches(filter_, topic):
                yield message
