"""Which final records their targets signed (docs/protocol.md, section 7).

Rules
- Nothing here reads or writes: keys come in, the records that are proved go out, with the reason of each that is not.
- Many are proved away from the loop, for a signature costs a tenth of a millisecond; with which key each was proved is
  part of the answer, for the caller may find another one in its transaction.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tiercast_protocol.content.jobs.receipt import open_receipt
from tiercast_protocol.errors import ProtocolError, SignatureInvalid
from tiercast_protocol.wire.messages import StatusRecord

#: So many are proved where we are: changing threads costs more.
_FEW = 2


@dataclass(frozen=True, slots=True)
class Key:
    """A node's present key: 32 bytes, and its generation."""

    public: bytes
    generation: int


@dataclass(frozen=True, slots=True)
class Proof:
    """What came of one record: `reason` is "" where `key` proves it."""

    key: Key | None
    reason: str = ""


async def prove(records: Sequence[StatusRecord], keys: Mapping[str, Key]) -> list[Proof]:
    """A proof for each record, in their order; `keys` are those of nodes that have joined."""

    def all_of_them() -> list[Proof]:
        return [_proof(record, keys.get(record.target)) for record in records]

    return all_of_them() if len(records) <= _FEW else await asyncio.to_thread(all_of_them)


def _proof(record: StatusRecord, key: Key | None) -> Proof:
    try:
        _check(record, key)
    except ProtocolError as error:
        return Proof(key, str(error))
    return Proof(key)


def _check(record: StatusRecord, key: Key | None) -> None:
    """Refuse a final record that its target did not sign.

    Raises:
        SignatureInvalid: no key, another's key, an older generation, or a receipt that says something else.
        MessageInvalid: no receipt at all.
    """
    if key is None:
        raise SignatureInvalid("receipt", "the node holds no key of this region")
    receipt = open_receipt(record.receipt, record.signature, key.public)
    if (receipt.node, receipt.generation) != (record.target, key.generation):
        raise SignatureInvalid("receipt", "it is another node's, or of an earlier generation")
    said = (receipt.job, receipt.revision, receipt.attempt, receipt.seq, receipt.state)
    if said != (record.job, record.revision, record.attempt, record.seq, record.state):
        raise SignatureInvalid("receipt", "the record around it says something else")
