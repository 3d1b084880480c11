"""What stands above the server's sub-tree: the region itself.

Rules
- Nothing is above the server, so nothing is sent: a message that has come all the way up is acted on here.
- What the library does not hold is nowhere: every want is answered "absent".
- A message that can't be understood raises `ProtocolError`, which its sender's outbox takes as the end of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog

from tiercast_gateway.subtree import SubTree
from tiercast_protocol.wire.drift import DriftTold
from tiercast_protocol.wire.envelope import Envelope
from tiercast_protocol.wire.facts import Inventories as Said
from tiercast_protocol.wire.messages import KIND_OF, Answer, EnrolRequest, Message, Status, body_of
from tiercast_protocol.wire.moving import Placed
from tiercast_protocol.wire.site import BreakerTold, SiteJoined
from tiercast_server.below import Below
from tiercast_server.desired.assignments import Assignments
from tiercast_server.inventories.inventories import Inventories
from tiercast_server.nodes.enrolment import Enrolment
from tiercast_server.nodes.moves import Moves
from tiercast_server.rollouts.sites import Sites
from tiercast_server.site_intake import SiteIntake
from tiercast_server.status_intake import StatusIntake

_log = structlog.get_logger(__name__)


class RegionAbove:
    """See `tiercast_gateway.above.Above`."""

    parent = ""
    connected = True
    path: Sequence[str] = ()

    def __init__(
        self,
        below: Below,
        enrolment: Enrolment,
        intake: StatusIntake,
        moves: Moves,
        inventories: Inventories,
        sites: Sites,
        joins: SiteIntake,
        assignments: Assignments,
    ) -> None:
        self._joins = joins
        self._assignments = assignments
        self._sites = sites
        self._inventories = inventories
        self._moves = moves
        self._below = below
        self._enrolment = enrolment
        self._intake = intake

    def attach(self, subtree: SubTree) -> None:
        """See `Above.attach`."""
        self._below.attach(subtree)
        self._inventories.ask = subtree.inventories.asked

    async def transmit(self, payload: bytes) -> None:
        """See `Above.transmit`."""
        raise RuntimeError(f"{len(payload)} bytes for a parent that the server does not have")

    async def send(self, message: Message, *, to: str = "", cause: str = "") -> None:
        """See `Above.send`."""
        match message:
            case Status(records=records):
                await self._intake.take(records)
            case Said(entries=entries, lists=lists):
                await self._inventories.take(entries, lists)
            case Placed():
                await self._moves.placed(message)
            case EnrolRequest():
                await self._enrolment.request(message)
            case BreakerTold():
                await self._sites.told(message)
            case SiteJoined():
                await self._joins.take(message)
            case DriftTold():
                await self._assignments.told(message)
            case _:
                _log.warning("message for nobody", kind=KIND_OF[type(message)], to=to, cause=cause)

    async def forward(self, envelope: Envelope) -> None:
        """See `Above.forward`.

        Raises:
            MessageInvalid: a body that is not of its kind.
        """
        match envelope.kind:
            case "enrol.request.v1":
                await self._enrolment.request(body_of(envelope, EnrolRequest))
            case "node.placed.v1":
                await self._moves.placed(body_of(envelope, Placed))
            case "status.v1":
                await self._intake.take(body_of(envelope, Status).records)
            case "answer.v1":
                body_of(envelope, Answer)
                self._below.subtree.queries.answered(envelope)
            case _:
                _log.warning("message for nobody", kind=envelope.kind, to=envelope.to, sender=envelope.sender)

    def want(self, digests: Sequence[bytes], job: str = "") -> None:  # noqa: ARG002 - the library asks nobody
        """See `Above.want`; answered from the loop's next turn, never from inside."""
        subtree = self._below.subtree
        held = tuple(digests)

        def answer() -> None:
            for digest in held:
                size = subtree.depot.size(digest)
                if size is None and subtree.upkeep.repair.seeking(digest):
                    continue  # the repair answers, when it knows
                if size is None:
                    subtree.chunk_absent(digest, "unknown")
                else:
                    subtree.chunk_arrived(digest, size)

        asyncio.get_running_loop().call_soon(answer)

    def unwant(self, digests: Sequence[bytes]) -> None:
        """See `Above.unwant`."""
