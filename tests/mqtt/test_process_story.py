"""The broker as a process: start, one line, signals, counters, and its exit codes."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

Start = Callable[..., Any]


async def test_it_says_where_it_listens_and_ends_with_zero(kit: Any, process: Start) -> None:
    broker = process(listen=[{"host": "127.0.0.1", "port": 0}, {"path": "broker.sock"}])
    assert broker.port > 0
    socket = Path(broker.listening[1]["path"])
    assert socket.stat().st_mode & 0o777 == 0o600
    client = await kit.bulk(socket)
    await client.subscribe("a")
    await client.publish("a", b"x", qos=1)
    await kit.until(lambda: kit.messages == [("a", b"x")])
    assert broker.stop() == 0
    await kit.until(lambda: len(kit.lost) == 1)
    assert not socket.exists()


async def test_hangup_reloads_users_and_cuts_the_removed(kit: Any, process: Start) -> None:
    users = kit.users(anna="a", bob="b")
    broker = process(users_file=str(users))
    anna, bob = await kit.raw(broker.port), await kit.raw(broker.port)
    assert await anna.connect("1", username="anna", password=b"a") == 0
    assert await bob.connect("2", username="bob", password=b"b") == 0

    def told(text: str) -> bool:
        return text in broker.log.read_text()

    users.write_text("not a users file")
    broker.process.send_signal(signal.SIGHUP)
    await kit.until(lambda: told("reload failed"))
    assert await bob.silent()

    kit.users(anna="a")
    broker.process.send_signal(signal.SIGHUP)
    await kit.until(lambda: told("reloaded"))
    await bob.ended()
    # Her hash has another salt now: that is another password to the broker, so she comes again.
    await anna.ended()
    again = await kit.raw(broker.port)
    assert await again.connect("1", username="anna", password=b"a") == 0
    stranger = await kit.raw(broker.port)
    assert await stranger.connect("2", username="bob", password=b"b") == 5


async def test_usr1_writes_the_counters(kit: Any, process: Start) -> None:
    broker = process()
    one = await kit.raw(broker.port)
    assert await one.connect("c") == 0
    broker.process.send_signal(signal.SIGUSR1)
    await kit.until(lambda: "counters" in broker.log.read_text())
    line = broker.log.read_text().splitlines()[-1]
    assert json.loads(line.partition("counters: ")[2])["$SYS/broker/clients/connected"] == 1


async def test_it_ends_with_its_parent(process: Start) -> None:
    broker = process("--stop-with-stdin")
    broker.process.stdin.close()
    assert await asyncio.to_thread(broker.process.wait, 60) == 0


def test_a_wrong_configuration_is_explained(tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text('{"listen": [], "colour": 1}')
    protocol = str(Path(__file__).resolve().parents[2] / "protocol")
    done = subprocess.run(
        [sys.executable, "-m", "tiercast_mqtt", "--config", str(tmp_path / "c.json")],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": protocol},
        timeout=60,
    )
    assert done.returncode == 2
    assert "listen: expected" in done.stderr
    assert "colour: unknown" in done.stderr
    assert "Traceback" not in done.stderr


async def test_a_port_that_is_taken_is_explained(process: Start, tmp_path: Path) -> None:
    first = process()
    second = process(listen=[{"host": "127.0.0.1", "port": first.port}])
    assert second.listening == []
    assert await asyncio.to_thread(second.process.wait, 60) == 1
    assert "cannot listen" in (tmp_path / "broker.log").read_text()


async def test_a_socket_left_by_a_killed_broker_is_taken_over_and_a_live_one_is_not(
    kit: Any, process: Start, tmp_path: Path
) -> None:
    first = process(listen=[{"path": "b.sock"}])
    first.process.kill()
    first.process.wait()
    second = process(listen=[{"path": "b.sock"}])
    await kit.bulk(tmp_path / "b.sock")
    third = process(listen=[{"path": "b.sock"}])
    assert third.listening == []
    assert await asyncio.to_thread(third.process.wait, 60) == 1
    assert (tmp_path / "b.sock").exists()
    assert second.process.poll() is None
