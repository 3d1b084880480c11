"""The delivery machine: any story of events keeps the promises."""

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from tiercast_protocol.node.delivery import (
    EACH,
    FIRST_RETRY,
    REPEATS,
    SLOWEST_FIRST,
    WINDOW,
    WINDOW_BYTES,
    Command,
    Delivery,
    Entry,
    Event,
    LoadMessages,
    MessageSettled,
    MessagesLoaded,
    MessageStored,
    PeerConnected,
    PeerLost,
    TimerFired,
    TransmitEnded,
    TransmitMessage,
    WakeAt,
)


def entry(n: int, size: int = 100) -> Entry:
    return Entry(n=n, id=n.to_bytes(16, "big"), size=size)


def sent(commands: list[Command]) -> list[int]:
    return [c.entry.n for c in commands if isinstance(c, TransmitMessage)]


def load_of(commands: list[Command]) -> LoadMessages:
    (load,) = [c for c in commands if isinstance(c, LoadMessages)]
    return load


def connected(machine: Delivery, entries: list[Entry] | None = None, *, more: bool = False) -> list[Command]:
    load = load_of(machine.handle(PeerConnected("p"), now=0))
    return machine.handle(MessagesLoaded("p", load.load, tuple(entries or ()), more), now=0)


def test_nothing_is_sent_to_a_peer_that_is_away() -> None:
    machine = Delivery()
    assert machine.handle(MessageStored("p", entry(1)), now=0) == []
    connected(machine, [entry(1)])
    machine.handle(PeerLost("p"), now=1)
    assert machine.handle(MessageStored("p", entry(2)), now=1) == []
    assert machine.handle(TimerFired(), now=100) == []


def test_all_that_waits_is_sent_at_once_when_the_peer_comes() -> None:
    machine = Delivery()
    for _ in range(2):
        assert sent(connected(machine, [entry(1), entry(2)])) == [1, 2]


def test_repeated_with_growing_delay_from_the_end_of_the_sending() -> None:
    machine = Delivery()
    connected(machine, [entry(1)])
    assert machine.handle(TimerFired(), now=500) == []  # it is still being sent
    now, delays = 0.0, []
    for _ in range(8):
        (wake,) = machine.handle(TransmitEnded("p", entry(1).id), now=now)
        assert isinstance(wake, WakeAt)
        delays.append(wake.time - now)
        assert sent(machine.handle(TimerFired(), now=wake.time - 0.01)) == []
        now = wake.time
        assert sent(machine.handle(TimerFired(), now=now)) == [1]
    assert delays == [4, 8, 16, 30, 30, 30, 30, 30]
    machine.handle(TransmitEnded("p", entry(1).id), now=now)
    assert machine.handle(MessageSettled("p", entry(1).id), now=now) == [WakeAt(math.inf)]


def test_to_a_crowd_that_is_behind_only_so_many_are_repeated_in_a_second() -> None:
    machine, crowd = Delivery(), 10 * REPEATS
    for number in range(crowd):
        load = load_of(machine.handle(PeerConnected(f"p{number}"), now=0))
        machine.handle(MessagesLoaded(f"p{number}", load.load, (entry(1),), more=False), now=0)
        machine.handle(TransmitEnded(f"p{number}", entry(1).id), now=0)
    again: list[str] = []
    for tenth in range(10, 10 * 30):
        commands = machine.handle(TimerFired(), now=tenth / 10)
        again += [command.peer for command in commands if isinstance(command, TransmitMessage)]
        assert len(again) <= REPEATS * (tenth // 10)
    assert set(again) == {f"p{number}" for number in range(crowd)}, "nobody is forgotten"


def test_what_takes_long_to_acknowledge_is_repeated_later() -> None:
    machine = Delivery()
    connected(machine, [])
    now = 0.0
    for number in range(1, 60):
        machine.handle(MessageStored("p", entry(number)), now=now)
        machine.handle(TransmitEnded("p", entry(number).id), now=now)
        now += 3.0
        machine.handle(MessageSettled("p", entry(number).id), now=now)
    machine.handle(MessageStored("p", entry(99)), now=now)
    (wake,) = machine.handle(TransmitEnded("p", entry(99).id), now=now)
    assert isinstance(wake, WakeAt)
    assert 4 < wake.time - now <= SLOWEST_FIRST


def test_with_many_under_way_the_first_repeat_is_later() -> None:
    machine, crowd = Delivery(), 200
    for number in range(crowd):
        load = load_of(machine.handle(PeerConnected(f"p{number}"), now=0))
        machine.handle(MessagesLoaded(f"p{number}", load.load, (entry(1),), more=False), now=0)
    for number in range(crowd):
        machine.handle(TransmitEnded(f"p{number}", entry(1).id), now=0)
    assert sent(machine.handle(TimerFired(), now=min(EACH * crowd, SLOWEST_FIRST) - 0.01)) == []
    for number in range(crowd):
        over = MessageSettled(f"p{number}", entry(1).id) if number % 2 else PeerLost(f"p{number}")
        machine.handle(over, now=0)
    connected(machine, [entry(1)])
    (wake,) = machine.handle(TransmitEnded("p", entry(1).id), now=0)
    assert wake == WakeAt(FIRST_RETRY), "all else is settled or gone"


def test_the_window_is_bounded_in_messages_and_bytes() -> None:
    machine = Delivery()
    assert len(sent(connected(machine, [entry(n + 1) for n in range(WINDOW)], more=True))) == WINDOW
    assert machine.handle(MessageStored("p", entry(900)), now=0) == []
    commands: list[Command] = []
    for n in range(WINDOW // 2):
        commands += machine.handle(MessageSettled("p", entry(n + 1).id), now=0)
    assert load_of(commands).after == WINDOW
    large = [entry(n, WINDOW_BYTES // 2) for n in (1, 2, 3)]
    machine = Delivery()
    assert sent(connected(machine, large)) == [1, 2]
    machine = Delivery()
    assert sent(connected(machine, [entry(1, WINDOW_BYTES * 2), entry(2)])) == [1]


def test_a_stale_load_changes_nothing() -> None:
    machine = Delivery()
    old = load_of(machine.handle(PeerConnected("p"), now=0))
    machine.handle(PeerConnected("p"), now=0)
    assert machine.handle(MessagesLoaded("p", old.load, (entry(1),), more=False), now=0) == []


def test_what_is_stored_while_a_load_is_under_way_waits_for_no_acknowledgement() -> None:
    machine = Delivery()
    load = load_of(machine.handle(PeerConnected("p"), now=0))
    assert machine.handle(MessageStored("p", entry(1)), now=0) == []
    assert machine.handle(MessageStored("p", entry(2)), now=0) == []
    commands = machine.handle(MessagesLoaded("p", load.load, (entry(1),), more=False), now=0)
    assert (sent(commands), load_of(commands).after) == ([1], 1)
    commands = machine.handle(MessagesLoaded("p", load_of(commands).load, (entry(2),), more=False), now=0)
    assert sent(commands) == [2]
    assert sent(machine.handle(MessageStored("p", entry(3)), now=0)) == [3]


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_any_story_keeps_the_promises(data: st.DataObject) -> None:
    """First sendings in order, window kept and used, the settled never sent, and in the end everything is delivered."""
    machine = Delivery()
    outbox: dict[int, Entry] = {}
    settled: set[int] = set()
    loads: list[LoadMessages] = []
    sending: list[Entry] = []
    in_this_lane: list[int] = []
    up, wake, now, newest, newest_load = False, math.inf, 0.0, 0, 0

    def step(event: Event) -> None:
        nonlocal wake, in_this_lane, newest_load
        if isinstance(event, PeerConnected):
            in_this_lane = []
            sending.clear()
        for command in machine.handle(event, now=now):
            match command:
                case TransmitMessage(_, e):
                    assert up
                    assert e.n in outbox
                    if e.n not in in_this_lane:
                        assert not in_this_lane or e.n > max(in_this_lane)
                        in_this_lane.append(e.n)
                    sending.append(e)
                case LoadMessages():
                    assert 0 < command.limit <= WINDOW
                    loads.append(command)
                    newest_load = command.load
                case WakeAt(time):
                    wake = time
        flying = [e for e in outbox.values() if machine.in_window("p", e.id)]
        assert len(flying) <= WINDOW
        waiting = [e for _, e in sorted(outbox.items()) if not machine.in_window("p", e.id)]
        reading = bool(loads) and loads[-1].load == newest_load
        if up and waiting and not reading and len(flying) <= WINDOW // 2:
            assert sum(e.size for e in flying) + waiting[0].size > WINDOW_BYTES, "there is room, and nobody looks"

    def answer(load: LoadMessages) -> None:
        rows = [e for n, e in sorted(outbox.items()) if n > load.after]
        step(MessagesLoaded("p", load.load, tuple(rows[: load.limit]), more=len(rows) > load.limit))

    def settle(n: int) -> None:
        settled.add(n)
        e = outbox.pop(n)
        step(MessageSettled("p", e.id))

    for _ in range(data.draw(st.integers(12, 60))):
        now += data.draw(st.sampled_from([0.0, 0.3, 5.0, 40.0]))
        match data.draw(st.sampled_from([0, 1, 2, 2, 2, 3, 3, 4, 5, 6])):
            case 0:
                up = True
                step(PeerConnected("p"))
            case 1:
                up = False
                step(PeerLost("p"))
            case 2:
                for _ in range(data.draw(st.sampled_from([1, 3, 50]))):
                    newest += 1
                    stored = entry(newest, data.draw(st.sampled_from([10, WINDOW_BYTES // 3])))
                    outbox[newest] = stored
                    step(MessageStored("p", stored))
            case 3 if loads:
                answer(loads.pop(data.draw(st.sampled_from([0, len(loads) - 1]))))
            case 4 if sending:
                step(TransmitEnded("p", sending.pop(0).id))
            case 5 if outbox and up:
                settle(data.draw(st.sampled_from(sorted(outbox))))
            case _:
                step(TimerFired())
    # A link that works from now on delivers all of it.
    up = True
    step(PeerConnected("p"))
    for _ in range(1000):
        if not outbox:
            break
        if loads:
            answer(loads.pop(0))
        elif sending:
            e = sending.pop(0)
            step(TransmitEnded("p", e.id))
            if e.n in outbox:
                settle(e.n)
        else:
            now = max(now, wake)
            step(TimerFired())
    assert not outbox
    assert not settled & set(outbox)
