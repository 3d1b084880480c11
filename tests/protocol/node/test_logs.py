"""One form for every line."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from tiercast_protocol.node import logs


@pytest.fixture(autouse=True)
def _afterwards() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    levels = {name: logging.getLogger(name).level for name in logs._QUIET}
    yield
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)
    structlog.reset_defaults()
    root.handlers[:], root.level = handlers, level


def _lines(out: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_json_where_there_is_no_terminal() -> None:
    out = io.StringIO()
    logs.configure("info", stream=out)
    log = structlog.get_logger()
    with logs.cause_of("job-1", node="n"):
        log.info("chunk stored", digest=b"\x01\xff", size=3)
    log.debug("not shown")
    (line,) = _lines(out)
    assert line["event"] == "chunk stored"
    assert line["cause"] == "job-1"
    assert line["node"] == "n"
    assert line["digest"] == "01ff"
    assert line["level"] == "info"
    assert str(line["at"]).endswith("Z")


def test_libraries_come_out_alike_and_quietly() -> None:
    out = io.StringIO()
    logs.configure("info", stream=out)
    logging.getLogger("asyncio").info("chatter")
    logging.getLogger("somebody").warning("said %s", "this")
    (line,) = _lines(out)
    assert line["event"] == "said this"
    assert line["level"] == "warning"


def test_a_traceback_does_not_show_variables() -> None:
    out = io.StringIO()
    logs.configure("info", stream=out)
    password = "hunter2"
    try:
        int(password + "x")
    except ValueError:
        structlog.get_logger().exception("failed")
    assert "hunter2x" in out.getvalue()  # of the message
    assert '"locals"' not in out.getvalue()
    assert "ValueError" in out.getvalue()


def test_console_is_for_people() -> None:
    out = io.StringIO()
    logs.configure("debug", "console", stream=out)
    structlog.get_logger().debug("chunk stored", size=3)
    assert "chunk stored" in out.getvalue()
    assert "size=3" in out.getvalue()
    assert "{" not in out.getvalue()
