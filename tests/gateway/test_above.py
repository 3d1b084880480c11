"""A parent over MQTT, as the port has it."""

from __future__ import annotations

import pytest

from tiercast_gateway.above import ParentAbove


def test_before_it_is_joined_nothing_is_connected() -> None:
    above = ParentAbove("top")
    assert above.parent == "top"
    assert not above.connected
    with pytest.raises(RuntimeError, match="join"):
        _ = above.upstream


async def test_before_it_is_attached_nothing_can_be_said() -> None:
    with pytest.raises(RuntimeError, match="attach"):
        _ = ParentAbove("top")._post
