"""Making a new region: its folder, its order key, its database, its settings.

Rules
- Settings and names are checked before anything is written; the settings file is written last, so a folder
  with one is a whole region, and `init` after a kill goes on where it was.
- A region that stands is never touched.
- Without `--listen` a free port is taken once and written down, for children remember it.
"""

from __future__ import annotations

from pathlib import Path

from tiercast_protocol.content.trust.keys import PrivateKey
from tiercast_protocol.errors import StateError, UsageError
from tiercast_protocol.node import config, lifecycle, settings_file
from tiercast_protocol.node.broker import check_options, free_port
from tiercast_protocol.node.brokers import BrokerConfig
from tiercast_protocol.node.places import Place
from tiercast_server.config import TITLE, DatabaseSettings, ServerSettings
from tiercast_server.database.engine import Database
from tiercast_server.nodes.nodes import check_name
from tiercast_server.region import create_region, open_region, wall_clock

KEY_FILE, DATABASE_FILE = "region.key", "region.db"


def database_of(settings: ServerSettings, here: Place) -> Path | str:
    """Where the region's database is."""
    return settings.database.url or here.folder / DATABASE_FILE


async def found_region(
    here: Place, *, region: str, server: str, listen: str, advertise: str, broker: str, database: str = ""
) -> None:
    """Make the region `region` with the server `server` in the folder of `here`.

    `database` is the address of an empty PostgreSQL database; "" is a file in the folder.

    Raises:
        UsageError: a name or setting that can't be, or the folder holds a region.
        StateError: the folder can't be used, or is in use.
    """
    check_name("region", region)
    check_name("node", server)
    check_options(broker, listen, advertise)
    own = BrokerConfig(mode=broker, listen=listen or f"127.0.0.1:{free_port('127.0.0.1')}", advertise=advertise)
    settings = ServerSettings(broker=own, database=DatabaseSettings(url=database))
    config.parse(settings_file.render(settings), ServerSettings, here.config)
    with lifecycle.StateLock(here.folder):
        if here.config.exists():
            raise UsageError(
                code="region.exists",
                what="A region stands there already.",
                where=str(here.folder),
                todo="Start it with `tiercast-server run`, or name another folder with --state.",
            )
        key_file = here.folder / KEY_FILE
        if not key_file.exists():
            PrivateKey.generate().save(key_file)
        key = PrivateKey.load(key_file)
        async with Database.open(database_of(settings, here)) as db:
            try:
                await create_region(db, name=region, server=server, now=wall_clock())
            except StateError:
                found = await open_region(db, key)
                if (found.name, found.server) != (region, server):
                    raise
        settings_file.write(here.config, settings, title=TITLE)
