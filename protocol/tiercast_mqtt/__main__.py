"""`python -m tiercast_mqtt --config FILE`: the embedded broker as a process of its own.

Prints one JSON line when it listens: {"listening": [{"host": ..., "port": ...}, {"path": ...}]}.
SIGHUP reads users, access and certificates anew, SIGUSR1 writes the counters to the log, SIGTERM and SIGINT end it
with 0.  With `--stop-with-stdin` it also ends when its standard input is closed, so that it never outlives a parent
that was killed.  Exit code 2: the configuration is wrong; 1: it cannot listen.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import os
import resource
import signal
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from tiercast_mqtt.broker import Broker, log, open_broker
from tiercast_mqtt.settings import Settings, SettingsError, read_settings


def main() -> int:
    """Run the broker until it is told to stop."""
    parser = argparse.ArgumentParser(prog="python -m tiercast_mqtt", description="A small MQTT 3.1.1 broker.")
    parser.add_argument("--config", required=True, type=Path, help="JSON file with listeners, users and limits")
    parser.add_argument("--stop-with-stdin", action="store_true", help="end when standard input is closed")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        settings = read_settings(arguments.config)
        _raise_file_limit(settings.limits.connections)
        run = _runner()
        run(_serve(settings, stop_with_stdin=arguments.stop_with_stdin))
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except OSError as error:
        sys.stderr.write(f"cannot listen: {error}\n")
        return 1
    return 0


async def _serve(settings: Settings, *, stop_with_stdin: bool) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if stop_with_stdin:
        loop.add_reader(0, _read_stdin, loop, stop)
    async with open_broker(settings) as broker:
        loop.add_signal_handler(signal.SIGHUP, broker.reload)
        loop.add_signal_handler(signal.SIGUSR1, _log_figures, broker)
        sys.stdout.write(json.dumps({"listening": broker.listening}) + "\n")
        sys.stdout.flush()
        await stop.wait()


def _read_stdin(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    if not os.read(0, 4096):
        loop.remove_reader(0)
        stop.set()


def _log_figures(broker: Broker) -> None:
    log.info("counters: %s", json.dumps(broker.figures()))


def _runner() -> Callable[[Coroutine[Any, Any, None]], None]:
    with contextlib.suppress(ImportError):
        import uvloop

        return uvloop.run
    return asyncio.run


def _raise_file_limit(connections: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + 64
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


if __name__ == "__main__":
    sys.exit(main())
