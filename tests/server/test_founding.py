"""Making a region: once, whole, and never over another."""

from pathlib import Path
from typing import Any

import pytest

from tiercast_protocol.content.trust.keys import PrivateKey
from tiercast_protocol.errors import StateError, UsageError
from tiercast_protocol.node import config
from tiercast_protocol.node.places import place
from tiercast_server.config import ServerSettings
from tiercast_server.founding import DATABASE_FILE, KEY_FILE, found_region


async def _init(folder: Path, **more: Any) -> None:
    words = {"region": "r", "server": "server", "listen": "", "advertise": "", "broker": "embedded", **more}
    await found_region(place("server", folder), **words)


async def test_a_region_is_made_once(tmp_path: Path) -> None:
    folder = tmp_path / "server"
    await _init(folder)
    key = PrivateKey.load(folder / KEY_FILE).public
    settings = config.load(folder / "server.toml", ServerSettings)
    assert settings.broker.listens[1] > 0
    with pytest.raises(UsageError) as caught:
        await _init(folder, region="other")
    assert caught.value.code == "region.exists"
    assert PrivateKey.load(folder / KEY_FILE).public == key


async def test_after_a_kill_it_goes_on_where_it_was(tmp_path: Path) -> None:
    folder = tmp_path / "server"
    await _init(folder)
    key = PrivateKey.load(folder / KEY_FILE).public
    (folder / "server.toml").unlink()
    with pytest.raises(StateError):
        await _init(folder, region="other")
    await _init(folder)
    assert PrivateKey.load(folder / KEY_FILE).public == key


@pytest.mark.parametrize(
    ("more", "error"),
    [
        ({"region": "no good"}, UsageError),
        ({"server": "join-x"}, UsageError),
        ({"broker": "rabbit"}, UsageError),
        ({"listen": "nowhere:port"}, UsageError),
        ({"listen": "18830"}, UsageError),
    ],
)
async def test_mistakes_leave_nothing(tmp_path: Path, more: dict[str, str], error: type[Exception]) -> None:
    with pytest.raises(error):
        await _init(tmp_path / "server", **more)
    assert not (tmp_path / "server" / DATABASE_FILE).exists()
    assert not (tmp_path / "server" / KEY_FILE).exists()
