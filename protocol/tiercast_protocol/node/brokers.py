"""Opens the broker that a server or gateway owns.

Rules
- `auto` is mosquitto where it is installed, else our embedded broker, each as a child process with
  generated settings; an address is somebody else's broker, used as it is.
- Open means serving.  Only an external broker may still be away: its administrator decides when it runs.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import structlog

from tiercast_protocol.errors import BrokerLost, StateError, UsageError
from tiercast_protocol.node import access, mosquitto
from tiercast_protocol.node.address import Address, check_trust, parse_address
from tiercast_protocol.node.broker import (
    Broker,
    BrokerConfig,
    connect_once,
    read_users,
    split_listen,
    write_private,
)
from tiercast_protocol.node.childbroker import CHECK_DEADLINE, CHECK_EVERY, ChildBroker

__all__ = ["Broker", "BrokerConfig", "open_broker"]

log = structlog.get_logger()


@asynccontextmanager
async def open_broker(
    config: BrokerConfig,
    *,
    folder: Path,
    region: str,
    owner: str,
    users: Mapping[str, str] | None = None,
    check_every: float = CHECK_EVERY,
    check_deadline: float = CHECK_DEADLINE,
) -> AsyncIterator[Broker]:
    """The broker of node `owner`, serving; `folder` holds its files (made with mode 0700).

    Args:
        config: its settings.
        folder: for its files.
        region: whose topics it carries.
        owner: our node, which may do everything in the region.
        users: who else may connect at once, name to $7$ hash; later `set_users`.
        check_every: seconds between two checks of `run()`.
        check_deadline: seconds that such a check may take.

    Raises:
        UsageError: settings that can't work, or the broker does not start or does not let us in.
        StateError: the folder can't be used.
    """
    folder = folder.absolute()  # noqa: ASYNC240 - no disk is asked
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        login = (config.user or owner, str(config.password))
        write_private(folder / "acl", access.render_acl(region, login[0] if "://" in config.mode else owner))
    except OSError as error:
        raise StateError(str(folder), f"it can't be written: {error.strerror}", "Check its owner and mode.") from error
    if "://" in config.mode:
        external = Broker(config.mode, _address_of_children(config), login, folder, config.tls)
        # nobody of before is left out: whoever copies the file copies all of them
        before = {name: hash_ for name, hash_ in read_users(folder / "users").items() if name != login[0]}
        await external.set_users(users if users is not None else before)
        await _check_external(external, folder)
        yield external
        return
    config.tls.check_served("[broker]")
    kind = config.mode if config.mode != "auto" else "mosquitto" if mosquitto.find() else "embedded"
    login = (owner, secrets.token_urlsafe(32))
    broker = ChildBroker(kind, config, folder, login, check_every=check_every, check_deadline=check_deadline)
    await broker.set_users(users or {})
    try:
        await _start(broker)
        log.info("broker serves", kind=kind, pid=broker.pid, url=broker.url, children=broker.children_url)
        yield broker
    finally:
        await broker.stop()


async def _start(broker: ChildBroker) -> None:
    try:
        await broker.start()
    except BrokerLost as error:
        todo = (
            "Stop what listens there, or change `listen` of [broker] in the settings; the log above has what it said."
        )
        raise UsageError("broker.start", f"The broker does not start: {error.reason}", error.url, todo) from error


def _address_of_children(config: BrokerConfig) -> str:
    outer = parse_address(config.mode)
    if config.advertise:
        host, port = split_listen(config.advertise)
        outer = Address(host, port or outer.port, tls=outer.tls)
    return str(outer)


async def _check_external(broker: Broker, folder: Path) -> None:
    url = broker.url
    try:
        await connect_once(url, broker.owner_login, CHECK_DEADLINE, broker.tls)
    except ConnectionError as error:
        check_trust(error, url, "[broker] in the settings")
        if getattr(error, "code", None) is None:
            log.warning("broker not reached yet", url=url, error=str(error))
            return
        raise UsageError(
            code="broker.login",
            what=f"The broker refuses the login: {error}",
            where=url,
            todo=f"Correct `user` and `password` of [broker] in the settings; or bring {folder / 'users'} and "
            f"{folder / 'acl'} to the broker, where this user stands, and reload it.",
        ) from error
