"""One object for all receivers."""

from __future__ import annotations

from tiercast_mqtt import codec
from tiercast_mqtt.message import Message
from tiercast_mqtt.packets import Publish


def test_a_frame_goes_out_as_it_came() -> None:
    frame = codec.encode(Publish("a", b"x" * 50_000))
    message = Message("a", memoryview(frame)[-50_000:], frame=frame)
    assert message.pieces(qos=0, retained=False)[0] is frame


def test_a_large_payload_is_never_joined_with_its_head() -> None:
    payload = b"x" * 50_000
    message = Message("a", payload, qos=1)
    pieces = message.pieces(qos=1, retained=False, packet_id=5, dup=True)
    assert pieces[1] is payload
    assert b"".join(pieces) == codec.encode(Publish("a", payload, 1, False, True, 5))
    assert message.pieces(qos=0, retained=False)[1] is payload


def test_a_small_one_is_one_piece_and_made_once() -> None:
    message = Message("a", b"xy", qos=1)
    assert message.pieces(qos=0, retained=False)[0] is message.pieces(qos=0, retained=False)[0]
    assert message.pieces(qos=0, retained=True) == (codec.encode(Publish("a", b"xy", retain=True)),)


def test_an_empty_message_costs_something() -> None:
    assert Message("a", b"").cost > 100
