"""Turns and timers of a sender."""

from __future__ import annotations

from collections import Counter

from tiercast_protocol.transfer import events as e
from tiercast_protocol.transfer.policy import LinkPolicy, Pace
from tiercast_protocol.transfer.sender import Sender
from tiercast_protocol.wire.messages import Report

SIZE = 50_000
D = [n.to_bytes(32) for n in range(40)]


def at(rate: float) -> LinkPolicy:
    return LinkPolicy(Pace(rate=rate))


def site(*children: str) -> tuple[Sender, list[e.SenderCommand]]:
    """A sender without groups whose children each want chunks of their own."""
    sender, out = Sender(groups=False), list[e.SenderCommand]()
    for n, child in enumerate(children):
        mine = [bytes([n + 1]) + digest[1:] for digest in D]
        said = Report(session=1, received=0, window=1 << 20, wants=b"".join(mine))
        sender.handle(e.ReportReceived(child, said), now=0.0)
        for digest in mine:
            out += sender.handle(e.ChunkAvailable(digest, SIZE), now=0.0)
    return sender, out


def pump(sender: Sender, out: list[e.SenderCommand]) -> Counter[str]:
    """Publish all that comes, at one instant; bytes by child."""
    sent: Counter[str] = Counter()
    waiting = [command for command in out if isinstance(command, e.PublishFrame)]
    while waiting:
        frame = waiting.pop(0)
        for child in frame.children:
            sent[child] += sum(piece.length for piece in frame.pieces)
        told = sender.handle(e.FramePublished(frame.frame), now=0.0)
        waiting += [command for command in told if isinstance(command, e.PublishFrame)]
    return sent


def test_turns_are_equal() -> None:
    sent = pump(*site("a", "b", "c"))
    assert max(sent.values()) - min(sent.values()) <= 2 * 64 * 1024


def test_all_links_together_are_paced() -> None:
    sender = Sender(groups=False)
    sender.handle(e.LinkPolicySet("", at(100_000.0)), now=0.0)
    for n, child in enumerate("ab"):
        mine = [bytes([n + 1]) + digest[1:] for digest in D]
        said = Report(session=1, received=0, window=1 << 20, wants=b"".join(mine))
        sender.handle(e.ReportReceived(child, said), now=0.0)
    now, sent, wake = 0.0, Counter[str](), None
    pending: list[e.SenderCommand] = []
    for n in range(2):
        for digest in D:
            pending += sender.handle(e.ChunkAvailable(bytes([n + 1]) + digest[1:], SIZE), now=now)
    while now < 3.0:
        for command in pending:
            if isinstance(command, e.PublishFrame):
                sent[command.children[0]] += sum(piece.length for piece in command.pieces)
        times = [command.time for command in pending if isinstance(command, e.WakeAt)]
        frames = [command.frame for command in pending if isinstance(command, e.PublishFrame)]
        wake = times[-1] if times else wake
        pending = []
        for frame in frames:
            pending += sender.handle(e.FramePublished(frame), now=now)
        if not frames:
            assert wake is not None
            now = max(now, wake)
            pending += sender.handle(e.TimerFired(), now=now)
    assert 250_000 < sum(sent.values()) < 320_000
    assert abs(sent["a"] - sent["b"]) < 60_000


def test_the_timer_is_asked_for_once_while_it_stands() -> None:
    sender, _ = site("a")
    wakes = 0
    for step in range(50):
        told = sender.handle(e.TimerFired() if step == 0 else e.LaneResumed("a"), now=0.001 * step)
        wakes += sum(isinstance(command, e.WakeAt) for command in told)
    assert wakes <= 3


def test_an_idle_sender_asks_for_no_timer() -> None:
    sender, out = site("a")
    sent = pump(sender, out)
    for received in (sent["a"], 2 * sent["a"], SIZE * len(D)):
        done = Report(session=1, received=min(received, SIZE * len(D)), window=1 << 20)
        out = sender.handle(e.ReportReceived("a", done), now=1.0)
        pump(sender, out)
    final = Report(session=1, received=SIZE * len(D), window=1 << 20)
    sender.handle(e.ReportReceived("a", final), now=1.1)
    told = sender.handle(e.TimerFired(), now=20.0)
    assert told == []
