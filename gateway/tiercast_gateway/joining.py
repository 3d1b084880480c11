"""Making this machine a gateway: enrol, then write the first settings.

Rules
- Settings are checked before the token is used: a mistake costs nothing.
- Without `--listen` a free port is taken once and written down, for children remember it.
- Joining again after a crash between the two finds the enrolment and writes the settings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiercast_gateway.config import TITLE, GatewaySettings, check_own_broker
from tiercast_protocol.content.trust.credential import Token
from tiercast_protocol.errors import UsageError
from tiercast_protocol.node import config, enrol, joined, settings_file
from tiercast_protocol.node.address import TlsFiles
from tiercast_protocol.node.broker import check_options, free_port
from tiercast_protocol.node.brokers import BrokerConfig

if TYPE_CHECKING:
    from tiercast_protocol.node.joined import Enrolled
    from tiercast_protocol.node.places import Place


async def join_region(
    token: str, here: Place, *, listen: str, advertise: str, broker: str, tls: TlsFiles | None = None
) -> Enrolled:
    """Join with `token` and write the settings; `tls` is for the parent's broker.

    Raises:
        UsageError: a mistake in the settings, the token is not good, or the parent can't be reached.
        StateError: the state folder can't be used.
    """
    check_options(broker, listen, advertise)
    settings = GatewaySettings(
        broker=BrokerConfig(mode=broker, listen=listen or f"127.0.0.1:{free_port('127.0.0.1')}", advertise=advertise),
        tls=tls or TlsFiles(),
    )
    if "://" in broker:
        check_own_broker(settings.broker, Token.from_text(token).url)
    config.parse(settings_file.render(settings), GatewaySettings, here.config)
    try:
        enrolled = await enrol.join(token, role="gateway", folder=here.folder, tls=settings.tls)
    except UsageError as error:
        if error.code != "node.joined" or here.config.exists():
            raise
        enrolled = joined.load(here.folder)
    settings_file.write(here.config, settings, title=TITLE)
    return enrolled
