"""The command line's tests share one kind of daemon; what one run's options set is forgotten after the test."""

from collections.abc import Iterator
from dataclasses import fields

import pytest

from cli_daemon import daemon
from tiercast_cli.talk.session import Session, session

__all__ = ["daemon"]


@pytest.fixture(autouse=True)
def _own_session() -> Iterator[None]:
    yield
    for one in fields(Session):
        setattr(session, one.name, one.default)
