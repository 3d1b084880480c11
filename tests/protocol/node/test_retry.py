"""When to try again."""

from __future__ import annotations

import random

import aiomqtt

from tiercast_mqtt.errors import ConnectionRefused
from tiercast_protocol.node.retry import CEILING, FLOOR, REFUSED_CEILING, STOOD, Pauses, refused_login


def test_pauses_spread_and_stay_within_their_bounds() -> None:
    pauses = Pauses(random.Random(1))
    found = [pauses.next() for _ in range(500)]
    assert min(found) >= FLOOR
    assert 4 < max(found) <= CEILING
    assert found[0] <= 2 * FLOOR
    assert len({round(p, 3) for p in found}) > 400


def test_a_refused_login_is_tried_more_and_more_slowly() -> None:
    pauses = Pauses(random.Random(1))
    found = [pauses.next(refused=True) for _ in range(500)]
    assert 20 < max(found) <= REFUSED_CEILING


def test_a_connection_makes_it_quick_again() -> None:
    pauses = Pauses(random.Random(1))
    for _ in range(9):
        pauses.next()
    pauses.lasted(STOOD)
    assert pauses.next() <= 2 * FLOOR


def test_a_link_that_was_cut_for_a_moment_is_back_within_tens_of_milliseconds() -> None:
    for seed in range(50):
        pauses = Pauses(random.Random(seed))
        assert pauses.next() <= 0.04
        assert pauses.next() <= 0.08


def test_a_broker_that_accepts_and_ends_at_once_is_not_hammered() -> None:
    pauses = Pauses(random.Random(1))
    found = []
    for _ in range(60):
        pauses.lasted(0.01)
        found.append(pauses.next())
    assert sum(found) > 60


def test_who_refuses() -> None:
    assert refused_login(ConnectionRefused(5))
    assert refused_login(ConnectionRefused(4))
    assert not refused_login(ConnectionRefused(3))
    assert refused_login(aiomqtt.exceptions.MqttConnectError(5))
    assert not refused_login(OSError(5, "Input/output error"))
    assert not refused_login(aiomqtt.MqttError("x"))
