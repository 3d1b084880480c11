"""From what arrived to its handler; how it is acknowledged is in test_post.py."""

from collections import Counter

import pytest

from tiercast_protocol.errors import MessageInvalid
from tiercast_protocol.node import intake
from tiercast_protocol.node.intake import Intake
from tiercast_protocol.wire.envelope import Envelope, wrap
from tiercast_protocol.wire.messages import Dismissed, Gone

KIND = "node.dismissed.v1"


class Desk:
    """An intake with what it calls."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.done: list[tuple[str, bytes]] = []
        self.handled: list[str] = []
        self.trouble: list[Exception] = []
        self.intake = Intake(
            me="me",
            counts=self.counts,
            now_ms=lambda: 1000,
            is_seen=lambda peer, id_: (peer, id_) in self.done,
            done=lambda peer, id_: self.done.append((peer, id_)),
        )
        self.intake.on(KIND, self.handle)

    async def handle(self, peer: str, envelope: Envelope) -> None:
        if self.trouble:
            raise self.trouble.pop(0)
        self.handled.append(peer)

    def take(self, peer: str, envelope: Envelope, size: int = 100) -> bool:
        return self.intake.accept(peer, envelope, size)

    async def work(self) -> None:
        while self.intake.ready:
            await self.intake.drain(self.intake.ready.popleft())


def message(to: str = "", expires: int = 0) -> Envelope:
    return wrap(KIND, Dismissed(name="x"), sender="a", to=to, expires=expires)


async def test_once_per_id_and_peer() -> None:
    desk = Desk()
    first = message()
    assert [desk.take("a", first), desk.take("a", first), desk.take("b", first)] == [True, False, True]
    await desk.work()
    assert desk.handled == ["a", "b"]
    assert desk.counts["duplicate"] == 1
    assert desk.take("a", message(to="me"))
    await desk.work()
    assert desk.counts["handled"] == 3


async def test_what_fails_is_undone_and_what_is_refused_is_done() -> None:
    desk = Desk()
    desk.trouble = [OSError("disk"), MessageInvalid("never")]
    for _ in range(2):
        desk.take("a", message())
    await desk.work()
    assert len(desk.done) == 1
    assert (desk.counts["failed"], desk.counts["invalid"]) == (1, 1)


async def test_expired_unknown_and_foreign_messages_are_done_with() -> None:
    desk = Desk()
    for envelope in (message(expires=999), wrap("new.v9", {}, sender="a"), message(to="other")):
        desk.take("a", envelope)
    await desk.work()
    assert len(desk.done) == 3
    assert (desk.counts["expired"], desk.counts["unknown"]) == (1, 2)
    relayed: list[str] = []

    async def relay(peer: str, envelope: Envelope) -> None:
        relayed.append(envelope.to)

    desk.intake.relay = relay
    desk.take("a", message(to="other"))
    await desk.work()
    assert relayed == ["other"]


async def test_ephemeral_messages_leave_no_mark() -> None:
    desk = Desk()
    got: list[str] = []

    async def gone(peer: str, envelope: Envelope) -> None:
        got.append(peer)

    desk.intake.on("gone.v1", gone)
    desk.take("a", wrap("gone.v1", Gone(boot=b""), sender="a"))
    await desk.work()
    assert (got, desk.done) == (["a"], [])


async def test_queues_are_bounded_per_peer_and_in_all() -> None:
    desk = Desk()
    for _ in range(intake.QUEUE_MESSAGES + 5):
        desk.take("many", message())
    assert desk.counts["overflow"] == 5
    for peer in ("b", "c", "d", "e"):
        for _ in range(8):
            desk.take(peer, message(), intake.QUEUE_BYTES // 8)
        desk.take(peer, message())
    assert desk.counts["overflow"] > 8
    assert desk.intake._queued <= intake.ALL_BYTES + intake.QUEUE_BYTES
    desk.take("late", message())
    await desk.work()
    assert "late" in desk.handled
    assert desk.intake._queued == 0


def test_a_kind_has_one_handler() -> None:
    desk = Desk()
    for kind in (KIND, "no.such.v1"):
        with pytest.raises(ValueError, match=kind):
            desk.intake.on(kind, desk.handle)


async def test_what_nobody_would_acknowledge_is_not_relayed() -> None:
    """It would stand in the outbox towards the next node, and be repeated, for ever."""
    desk = Desk()
    desk.intake.relay = desk.handle
    desk.take("a", wrap("gone.v1", Gone(boot=b"x"), sender="a", to="server"))
    await desk.work()
    assert not desk.handled
    assert desk.counts["invalid"] == 1
