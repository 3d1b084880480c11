"""What a sub-tree is told stays as it was said."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest

from tiercast_gateway.subtree_config import MIB, SubTreeConfig


def test_it_is_a_value_with_room_left_on_the_disk() -> None:
    config = SubTreeConfig(me="g", region="test", role="gateway", folder=Path("state"), region_key=b"k" * 32)
    assert (config.reserve, config.quota, config.generation) == (64 * MIB, None, 0)
    with pytest.raises(FrozenInstanceError):
        config.me = "other"  # type: ignore[misc]
