"""A real broker of each kind, started for one test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tiercast_mqtt.password import hash_password
from tiercast_protocol.node import mosquitto
from tiercast_protocol.node.brokers import Broker, BrokerConfig, open_broker
from tiercast_protocol.node.link import BulkLink, ControlLink
from tiercast_protocol.wire.topics import Topics

REGION = "acme"
OWNER = "server"
PASSWORDS = {name: f"pw-{name}" for name in ("n1", "n2", "join-t1")}


@pytest.fixture(params=["mosquitto", "embedded"])
def kind(request: pytest.FixtureRequest) -> str:
    """Every test runs over both; without mosquitto it fails, for it would prove half."""
    if request.param == "mosquitto" and mosquitto.find() is None:
        pytest.fail("mosquitto is not installed: apt install mosquitto", pytrace=False)
    return str(request.param)


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Short enough for a UNIX socket."""
    return tmp_path_factory.mktemp("b")


@pytest.fixture
async def broker(kind: str, folder: Path) -> AsyncIterator[Broker]:
    """Serving, with a password for each of PASSWORDS."""
    users = {name: hash_password(password) for name, password in PASSWORDS.items()}
    config = BrokerConfig(mode=kind)
    async with open_broker(
        config, folder=folder, region=REGION, owner=OWNER, users=users, check_every=0.3, check_deadline=2
    ) as broker:
        assert broker.kind == kind
        yield broker


@dataclass
class Heard:
    """What one link heard, in order."""

    messages: asyncio.Queue[tuple[str, bytes]] = field(default_factory=asyncio.Queue)
    ups: int = 0
    downs: int = 0

    async def on_message(self, topic: str, payload: bytes) -> None:
        self.messages.put_nowait((topic, payload))

    def on_frame(self, topic: str, payload: memoryview) -> None:
        self.messages.put_nowait((topic, bytes(payload)))

    async def on_up(self) -> None:
        self.ups += 1

    async def on_down(self) -> None:
        self.downs += 1

    async def next(self) -> tuple[str, bytes]:
        return await asyncio.wait_for(self.messages.get(), 60)

    @property
    def nothing(self) -> bool:
        return self.messages.empty()


Connect = Callable[..., AbstractAsyncContextManager[tuple[ControlLink, BulkLink, Heard]]]


@pytest.fixture
def connected(broker: Broker) -> Connect:
    """Both links of one node, up; `watch` also runs the broker's own watch."""
    topics = Topics(REGION)

    @asynccontextmanager
    async def _connected(
        name: str = OWNER, *, filters: tuple[str, ...] | None = None, will: tuple[str, bytes] | None = None
    ) -> AsyncIterator[tuple[ControlLink, BulkLink, Heard]]:
        owner = name == OWNER
        url = broker.url if owner else broker.children_url
        login = broker.owner_login if owner else (name, PASSWORDS[name])
        heard = Heard()
        if filters is None:
            filters = topics.parent_filters() if owner else (topics.down(OWNER, name),)
        bulk_filters = (topics.report_filter(),) if owner else (topics.bulk(OWNER, name),)
        control = ControlLink(
            url,
            client_id=name,
            login=login,
            will=will,
            subscriptions=filters,
            on_message=heard.on_message,
            on_up=heard.on_up,
            on_down=heard.on_down,
        )
        bulk = BulkLink(
            url, client_id=f"{name}:bulk", login=login, subscriptions=bulk_filters, on_message=heard.on_frame
        )
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(control.run()), tasks.create_task(bulk.run())]
            try:
                async with asyncio.timeout(60):
                    await control.up.wait()
                    await bulk.up.wait()
                yield control, bulk, heard
            finally:
                for task in running:
                    task.cancel()

    return _connected


@asynccontextmanager
async def watched(broker: Broker) -> AsyncIterator[None]:
    """The broker's own watch runs."""
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(broker.run())
        try:
            yield
        finally:
            task.cancel()


async def until(true: Callable[[], bool], deadline: float = 60) -> None:
    """Wait for what only a look can tell."""
    async with asyncio.timeout(deadline):
        while not true():  # noqa: ASYNC110 - a broker's own process has no event for us
            await asyncio.sleep(0.01)
