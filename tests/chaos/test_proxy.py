"""The fault proxy itself: what it says it does to a link, it does, and it counts it."""

from __future__ import annotations

import asyncio
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from faultlink import Packets, Way
from faultproxy import FaultyLink
from tiercast_mqtt import codec
from tiercast_mqtt.packets import Publish


def frame(payload: bytes) -> bytes:
    return codec.encode(Publish("a/b", payload))


def through(way: Way, frames: list[bytes], cut: int = 7) -> bytes:
    """All frames over `way`, read in pieces of `cut` bytes."""
    packets, stream = Packets(way), b"".join(frames)
    return b"".join(packets.feed(stream[at : at + cut]) for at in range(0, len(stream), cut))


FRAMES = [frame(bytes([number]) * 300) for number in range(50)]


def test_a_good_link_changes_nothing_wherever_it_is_read() -> None:
    for cut in (1, 2, 3, 299, 310, 100_000):
        assert through(Way("down", random.Random(1)), FRAMES, cut) == b"".join(FRAMES)


@pytest.mark.parametrize(("fault", "told"), [("lose", "lost"), ("double", "doubled"), ("swap", "swapped")])
def test_whole_frames_are_lost_doubled_and_swapped(fault: str, told: str) -> None:
    way = Way("down", random.Random(1))
    way.settings.change({fault: 0.3})
    out = through(way, FRAMES)
    count = {"lost": len(FRAMES) - way.counters[told], "doubled": len(FRAMES) + way.counters[told]}
    found = [out[at : at + len(FRAMES[0])] for at in range(0, len(out), len(FRAMES[0]))]
    assert way.counters[told] > 3
    assert len(found) == count.get(told, len(FRAMES))
    assert set(found) <= set(FRAMES)
    if told == "swapped":
        assert found != FRAMES
        assert sorted(found) == FRAMES


def test_a_flipped_bit_leaves_the_packet_whole_and_noise_may_not() -> None:
    way = Way("down", random.Random(1))
    way.settings.change({"flip": 1.0})
    out = through(way, FRAMES)
    size = len(FRAMES[0])
    for number, sent in enumerate(FRAMES):
        got = out[number * size : (number + 1) * size]
        assert got[: size - 300] == sent[: size - 300]
        assert sum((a ^ b).bit_count() for a, b in zip(got, sent, strict=True)) == 1
    way.settings.change({"flip": 0.0, "noise": 1.0})
    assert through(way, FRAMES, 100) != b"".join(FRAMES)


def test_the_first_frame_after_a_fault_was_asked_for_is_hit_whatever_the_chance() -> None:
    way = Way("down", random.Random(1))
    way.change({"lose": 1e-9})
    assert through(way, FRAMES) == b"".join(FRAMES[1:])
    assert way.counters["lost"] == 1


def test_what_is_not_mqtt_passes_as_it_is() -> None:
    way = Way("down", random.Random(1))
    way.settings.change({"lose": 1.0})
    data = b"\x16\xff\xff\xff\xff\xff" + random.Random(2).randbytes(5000)
    assert Packets(way).feed(data) == data


@pytest.fixture
def echo() -> Iterator[int]:
    """The port of a server that sends back what it gets."""

    def answer(one: socket.socket) -> None:
        with one, suppress(OSError):
            while data := one.recv(65536):
                one.sendall(data)

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=answer, args=(listener.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


def ask(sock: socket.socket, size: int = 1) -> float:
    """Seconds until `size` bytes are back."""
    began = time.monotonic()
    sock.sendall(frame(bytes(size)))
    left = len(frame(bytes(size)))
    while left:
        got = len(sock.recv(65536))
        if not got:
            raise ConnectionError("the connection ended")
        left -= got
    return time.monotonic() - began


def ask_anew(port: int) -> float:
    """The same over a new connection."""
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.settimeout(60)
        return ask(sock)


def quickest(once: Callable[[], float], enough: float) -> float:
    """The least that it took: a busy machine makes one longer, none shorter.  Ends with one below `enough`."""
    took = [once()]
    while took[-1] >= enough and len(took) < 20:
        took.append(once())
    return min(took)


def test_delay_and_rate_are_those_asked_for(echo: int) -> None:
    with FaultyLink(echo) as link, socket.create_connection(("127.0.0.1", link.port)) as sock:
        sock.settimeout(60)
        ask(sock)
        link.tell(both={"delay": 0.05})
        assert 0.1 <= quickest(lambda: ask(sock), 0.25) < 0.25
        link.tell(both={"delay": 0}, down={"rate": 1e6})
        assert 0.15 <= quickest(lambda: ask(sock, 200_000), 0.6) < 0.6


def test_a_hole_holds_back_and_a_reset_ends(echo: int) -> None:
    with FaultyLink(echo) as link, socket.create_connection(("127.0.0.1", link.port)) as sock:
        sock.settimeout(60)
        ask(sock)
        link.tell(down={"hole": True})
        sock.sendall(frame(b"x"))
        sock.settimeout(0.2)
        with pytest.raises(TimeoutError):
            sock.recv(1)
        link.tell(down={"hole": False})
        sock.settimeout(60)
        assert sock.recv(1) == b"0"
        told = link.tell(reset=True, resetting=True)
        assert told["resets"] == 1
        with pytest.raises(ConnectionResetError):
            ask(sock)
        with pytest.raises(OSError, match=r"reset|refused|pipe|abort|ended"):
            ask_anew(link.port)
        link.tell(heal=True)
        ask_anew(link.port)


def test_a_link_stops_by_itself_after_so_many_bytes_and_goes_on_when_told(echo: int) -> None:
    with FaultyLink(echo) as link, socket.create_connection(("127.0.0.1", link.port)) as sock:
        sock.settimeout(60)
        ask(sock)
        came = link.tell()["down"]["delivered"]
        link.tell(down={"stop": came + 1000})
        ask(sock, 900)
        ask(sock, 500)  # the bytes that reach the mark still come
        sock.sendall(frame(b"y"))
        sock.settimeout(0.2)
        with pytest.raises(TimeoutError):
            sock.recv(1)
        link.tell(down={"stop": 0})
        sock.settimeout(60)
        assert sock.recv(1) == b"0"


async def test_it_ends_with_whoever_steers_it(echo: int) -> None:
    link = FaultyLink(echo)
    port = link.port
    with pytest.raises(ValueError, match="depth"):
        link.tell(down={"depth": 3})
    link.close()
    with pytest.raises(OSError, match=r"refused|failed"):
        await asyncio.open_connection("127.0.0.1", port)
