"""Groups that site-held jobs name were changed: the gateways that hold these are told (docs/protocol.md, section 14).

Rules
- Told in the transaction of the change, by the handover: a kill loses nothing, and who is cut off hears it later.
- Who is a target stays one; a definition that has grown too long to be told leaves the one before.
"""

from __future__ import annotations

from collections.abc import Collection

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from tiercast_protocol.content.jobs import target
from tiercast_protocol.content.jobs.regrouped import Regrouped, sign_regrouped
from tiercast_protocol.content.jobs.vouching import LONGEST, SITE
from tiercast_protocol.wire.site import GroupsTold
from tiercast_server import handover, site_jobs
from tiercast_server.database.tables import nodes as nodes_table
from tiercast_server.jobs import rows as job_rows
from tiercast_server.nodes import nodes
from tiercast_server.region import Region

_log = structlog.get_logger(__name__)


async def regroup(region: Region, connection: AsyncConnection, names: Collection[str]) -> list[str]:
    """These groups are others than before; the jobs whose gateways are told."""
    told: list[str] = []
    if not names:
        return told
    for job in await job_rows.following(connection, region.clock()):
        asked = target.names_of(target.parse_kept(job.target), "group") if SITE in job.options else frozenset[str]()
        held = None if asked.isdisjoint(names) else await site_jobs.held(connection, job.id)
        if held is None:
            continue
        text = await site_jobs.definition(connection, job.target, "endpoint", held_there=True)
        if not text or len(text) > LONGEST:
            _log.warning("groups too long to be told", job=job.id, characters=len(text), most=LONGEST)
            continue
        word = Regrouped(region=region.name, job=job.id, at=region.clock(), expires=job.expires, definition=text)
        data, signature = sign_regrouped(word, region.key)
        for node in await nodes.all_nodes(connection, nodes_table.c.role == "gateway"):
            if node.has_joined and held.vouchers.get(node.name) == node.generation:
                message = GroupsTold(data=data, signature=signature)
                await handover.put(connection, message, receiver=node.name, cause=job.id)
        told.append(job.id)
    return told
