"""Joining: what would keep the agent from starting is said before the token is used."""

from __future__ import annotations

from pathlib import Path

import pytest

from tiercast_endpoint import joining
from tiercast_protocol.errors import UsageError
from tiercast_protocol.node.places import place


async def test_an_install_root_that_can_not_be_is_said_before_the_token_is_read(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("not a folder")
    with pytest.raises(UsageError) as caught:
        await joining.join("no token at all", place("endpoint", tmp_path / "state"), install_root=file, name="")
    assert caught.value.code == "root.invalid"
    assert not (tmp_path / "state" / "endpoint.toml").exists()
