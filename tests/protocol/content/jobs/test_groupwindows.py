"""Signed windows of a machine's groups."""

from __future__ import annotations

import pytest

from tiercast_protocol.content.jobs.groupwindows import MOST, GroupWindows, open_windows, sign_windows
from tiercast_protocol.content.trust.keys import PrivateKey
from tiercast_protocol.errors import SignatureInvalid

KEY = PrivateKey.generate()


def test_only_the_region_says_them() -> None:
    said = GroupWindows(region="r", node="pc", generation=1, issued=5, windows=[("sales", "daily 22:00-05:00")])
    data, signature = sign_windows(said, KEY)
    assert open_windows(data, signature, KEY.public) == said
    with pytest.raises(SignatureInvalid):
        open_windows(data, signature, PrivateKey.generate().public)


@pytest.mark.parametrize("wrong", [{"node": "no name!"}, {"issued": -1}, {"windows": [("g", "")] * (MOST + 1)}])
def test_what_can_not_be_meant(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"name|range"):
        GroupWindows(**{"region": "r", "node": "pc", "generation": 1, "issued": 5, **wrong})  # type: ignore[arg-type]
