"""A daemon that is starting is waited for, any other is not."""

from __future__ import annotations

import asyncio
import socket
import time
from pathlib import Path

import pytest

from tiercast_cli.talk import session, starting
from tiercast_protocol.node.lifecycle import StateLock


async def test_whoever_holds_the_lock_is_waited_for_until_the_socket_answers(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    with StateLock(tmp_path), socket.socket(socket.AF_UNIX) as server:
        async with asyncio.TaskGroup() as tasks:
            waiting = tasks.create_task(starting.wait_for(path, tmp_path))
            done, _ = await asyncio.wait([waiting], timeout=0.2)
            assert not done
            server.bind(str(path))
            server.listen()


async def test_patience_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starting, "PATIENCE_S", 0.2)
    with StateLock(tmp_path):
        await starting.wait_for(tmp_path / "control.sock", tmp_path)


async def test_a_folder_that_is_set_up_has_a_moment_to_be_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(starting, "GRACE_S", 0.2)
    (tmp_path / "server.toml").touch()
    began = time.monotonic()
    await starting.wait_for(tmp_path / "control.sock", tmp_path)
    assert 0.2 < time.monotonic() - began < starting.PATIENCE_S


async def test_nothing_else_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asyncio, "sleep", None)  # would fail
    await starting.wait_for(tmp_path / "control.sock", tmp_path)
    (tmp_path / "lock").touch()
    await starting.wait_for(tmp_path / "control.sock", tmp_path)


def test_held_is_what_the_kernel_says(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    assert not starting.held(lock)
    with StateLock(tmp_path):
        assert starting.held(lock)
        with pytest.raises(Exception, match="another daemon"), StateLock(tmp_path):
            pass  # looking has taken nothing
    assert not starting.held(lock)


def test_a_socket_with_a_long_name_is_found_where_the_daemon_put_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/me")
    long = tmp_path / ("x" * 100) / "control.sock"
    found = session.Session(str(long))
    assert found.path.name == "control.sock"
    assert str(found.path).startswith("/run/me/tiercast-")
    assert found.folder == long.parent
