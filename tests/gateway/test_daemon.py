"""The gateway as a process: starts cut off, answers, ends in order, refuses what can't be."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tiercast_gateway.config import GatewaySettings
from tiercast_gateway.daemon import subtree_config
from tiercast_gateway.showing import fetch_status
from tiercast_protocol.content.trust.credential import Credential, sign_credential
from tiercast_protocol.content.trust.keys import PrivateKey
from tiercast_protocol.node import joined, settings_file
from tiercast_protocol.node.brokers import BrokerConfig
from tiercast_protocol.node.joined import Enrolled
from tiercast_protocol.node.places import place

ROOT = Path(__file__).resolve().parents[2]
PATH = os.pathsep.join(str(ROOT / room) for room in ("protocol", "gateway"))


def joined_gateway(folder: Path) -> Enrolled:
    """The folder of a gateway that has joined a region whose server is not there."""
    folder.mkdir(mode=0o700)
    region, key = PrivateKey.generate(), PrivateKey.generate()
    credential = Credential(
        region="demo",
        name="berlin",
        role="gateway",
        parent="server",
        public_key=key.public,
        generation=1,
        issued=1,
        server="server",
    )
    data, signature = sign_credential(credential, region)
    key.save(folder / joined.KEY_FILE)
    (folder / joined.PASSWORD_FILE).write_text("secret\n")
    made = Enrolled(
        name="berlin",
        role="gateway",
        region="demo",
        parent="server",
        server="server",
        generation=1,
        url="mqtt://127.0.0.1:9",
        password="secret",
        key=key,
        region_key=region.public,
        credential=data,
        signature=signature,
    )
    joined.save(folder, made)
    settings = GatewaySettings(broker=BrokerConfig(mode="embedded"))
    settings_file.write(place("gateway", folder).config, settings)
    return made


@contextlib.contextmanager
def running(folder: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tiercast_gateway", "run", "--state", str(folder)],
        env={**os.environ, "PYTHONPATH": PATH},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def until_ready(process: subprocess.Popen[str]) -> str:
    """The lines up to `ready`."""
    assert process.stderr is not None
    lines = ""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        line = process.stderr.readline()
        lines += line
        if '"event": "ready"' in line or not line:
            return lines
    raise TimeoutError(lines)


def test_cut_off_it_serves_and_ends_with_0(tmp_path: Path) -> None:
    folder = tmp_path / "g"
    joined_gateway(folder)
    for number in (signal.SIGTERM, signal.SIGINT):
        with running(folder) as process:
            assert '"ready"' in until_ready(process)
            status = asyncio.run(fetch_status(place("gateway", folder).socket))
            assert (status["name"], status["region"], status["connected"]) == ("berlin", "demo", False)
            process.send_signal(number)
            _, errors = process.communicate(timeout=60)
            assert process.returncode == 0, errors
            assert "Traceback" not in errors


def test_a_second_one_on_the_same_folder_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "g"
    joined_gateway(folder)
    with running(folder) as first:
        until_ready(first)
        with running(folder) as second:
            _, errors = second.communicate(timeout=60)
            assert second.returncode == 1
            assert f"process {first.pid}" in errors
        assert first.poll() is None


@pytest.mark.parametrize(
    ("spoil", "code", "said"),
    [
        (lambda folder: (folder / "enrolled.json").unlink(), 2, "has not joined"),
        (lambda folder: (folder / "gateway.toml").write_text("[broker]\nmode = 3\nlisten = 4\n"), 2, "2 mistakes"),
        (lambda folder: (folder / "enrolled.json").write_text("{}"), 1, "damaged"),
    ],
)
def test_what_a_human_can_mend_is_said_and_nothing_starts(
    tmp_path: Path, spoil: Callable[[Path], object], code: int, said: str
) -> None:
    folder = tmp_path / "g"
    joined_gateway(folder)
    spoil(folder)
    with running(folder) as process:
        _, errors = process.communicate(timeout=60)
        assert process.returncode == code
        assert said in errors
        assert "Traceback" not in errors


def test_a_folder_that_nobody_joined_from_stays_as_it_was(tmp_path: Path) -> None:
    with running(tmp_path / "wrong") as process:
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 2
        assert "has not joined" in errors
    assert not (tmp_path / "wrong").exists()


def test_settings_become_what_the_sub_tree_needs(tmp_path: Path) -> None:
    me = joined_gateway(tmp_path / "g")
    config = subtree_config(me, GatewaySettings(), tmp_path)
    assert (config.me, config.role, config.quota, config.retention) == ("berlin", "gateway", None, None)
