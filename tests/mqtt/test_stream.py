"""Bytes into packets, however they are cut."""

from __future__ import annotations

import random
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from tiercast_mqtt import codec
from tiercast_mqtt.errors import MalformedPacket
from tiercast_mqtt.packets import Publish
from tiercast_mqtt.stream import SMALL, PacketStream

LIMIT = 40_000


class Collecting(PacketStream):
    def __init__(self, *, reuse: bool = False) -> None:
        super().__init__(limit=LIMIT, reuse=reuse)
        self.got: list[bytes] = []
        self.owned: list[tuple[memoryview, bytes]] = []
        self.errors: list[MalformedPacket] = []
        self.halt_after: set[int] = set()

    def packet_arrived(self, first: int, body: memoryview, packet: memoryview, *, owned: bool) -> None:
        assert packet[0] == first
        assert bytes(packet).endswith(bytes(body))
        self.got.append(bytes(packet))
        if owned:
            self.owned.append((packet, bytes(packet)))
        codec.decode(first, body)
        if len(self.got) in self.halt_after:
            self.halt()

    def stream_broken(self, error: MalformedPacket) -> None:
        self.errors.append(error)

    def feed(self, data: bytes) -> None:
        while data:
            if self._halted:
                self.proceed()
                continue
            room = self.get_buffer(-1)
            assert len(room)
            count = min(len(room), len(data))
            room[:count] = data[:count]
            data = data[count:]
            self.buffer_updated(count)
        while self._halted:
            self.proceed()


def packets(sizes: list[int], seed: int) -> list[bytes]:
    dice = random.Random(seed)
    return [codec.encode(Publish("t", dice.randbytes(size))) for size in sizes]


SIZES = st.one_of(st.integers(0, 200), st.integers(SMALL - 20, SMALL + 20), st.integers(0, LIMIT - 10))


@given(
    st.lists(SIZES, max_size=8),
    st.lists(st.integers(1, 20_000), max_size=30),
    st.sets(st.integers(1, 8)),
    st.booleans(),
    st.integers(0, 99),
)
def test_packets_come_out_whole_however_the_bytes_come_in(
    sizes: list[int], cuts: list[int], halts: set[int], reuse: bool, seed: int
) -> None:
    stream = Collecting(reuse=reuse)
    stream.halt_after = halts
    expected = packets(sizes, seed)
    data = b"".join(expected)
    for cut in cuts:
        stream.feed(data[:cut])
        data = data[cut:]
    stream.feed(data)
    assert stream.got == expected
    assert not stream.errors
    # What was handed over for good is never written again.
    assert all(bytes(view) == copy for view, copy in stream.owned)
    assert not (reuse and stream.owned)


def test_split_at_any_byte() -> None:
    expected = packets([0, 3, 130, 9000, 5], 1)
    data = b"".join(expected)
    for at in range(len(data)):
        stream = Collecting()
        stream.feed(data[:at])
        stream.feed(data[at:])
        assert stream.got == expected


@given(st.binary(max_size=400))
def test_any_bytes_give_packets_or_one_error(data: bytes) -> None:
    stream = Collecting()
    stream.feed(data)
    assert len(stream.errors) <= 1
    before = len(stream.got)
    if stream.errors:
        stream.feed(codec.PINGREQ_BYTES * 5000)
        assert len(stream.got) == before


def test_an_announced_giant_is_refused_before_anything_is_allocated() -> None:
    stream = Collecting()
    stream.feed(b"\x30\xff\xff\xff\x7f")
    assert len(stream.errors) == 1
    assert len(stream.get_buffer(-1)) == SMALL


def test_a_reused_buffer_is_reused() -> None:
    stream = Collecting(reuse=True)
    stream.feed(b"".join(packets([20_000], 1)))
    (spare,) = stream._spares
    stream.feed(b"".join(packets([30_000, 9_000], 2)))
    assert len(stream._spares) == 1
    assert stream._spares[0] is spare
    assert stream.drop_spares() == len(spare)
    assert (stream._spares, stream.drop_spares()) == ([], 0)


def test_a_lent_buffer_is_left_alone_until_it_is_given_back() -> None:
    class Lending(Collecting):
        def packet_arrived(self, first: int, body: memoryview, packet: memoryview, *, owned: bool) -> None:
            super().packet_arrived(first, body, packet, owned=owned)
            lent.append((bytes(packet), packet, self.lend()))

    lent: list[tuple[bytes, memoryview, Callable[[], None] | None]] = []
    stream = Lending(reuse=True)
    stream.feed(b"".join(packets([20_000, 30_000, 100], 3)))
    assert [give_back is not None for _, _, give_back in lent] == [True, True, False]
    assert all(bytes(view) == was for was, view, _ in lent[:2])
    assert stream._spares == []
    for _, _, give_back in lent[:2]:
        assert give_back is not None
        give_back()
    assert len(stream._spares) == 2


def test_a_peer_that_speaks_something_else_is_noticed_at_its_first_byte() -> None:
    stream = Collecting()
    stream._opening = 1
    stream.feed(b"G")
    assert len(stream.errors) == 1
