"""A final record counts with its target's own signature over the very same words, many at a time."""

from __future__ import annotations

import msgspec
import pytest

from tiercast_protocol.content.jobs.receipt import Receipt, sign_receipt
from tiercast_protocol.content.trust.keys import PrivateKey
from tiercast_protocol.wire.messages import StatusRecord
from tiercast_server.proofs import Key, prove

KEYS = {f"pc-{number}": PrivateKey.generate() for number in range(4)}
KNOWN = {name: Key(key.public, 1) for name, key in KEYS.items()}


def record(name: str, *, generation: int = 1, state: str = "done") -> StatusRecord:
    receipt = Receipt(
        job="j",
        revision=1,
        attempt=1,
        seq=7,
        node=name,
        generation=generation,
        state=state,
        code="",
        detail="",
        started=1,
        finished=2,
        package="p",
        version="1",
        root=bytes(32),
        programs=[],
    )
    data, signature = sign_receipt(receipt, KEYS[name])
    return StatusRecord(
        job="j", revision=1, target=name, attempt=1, seq=7, state=state, at=1, receipt=data, signature=signature
    )


@pytest.mark.parametrize("count", [1, 4])
async def test_what_its_target_signed_is_proved_with_the_key_that_did(count: int) -> None:
    records = [record(name) for name in list(KEYS)[:count]]
    found = await prove(records, KNOWN)
    assert [proof.reason for proof in found] == [""] * count
    assert [proof.key for proof in found] == [KNOWN[one.target] for one in records]


async def test_each_of_many_is_judged_by_itself() -> None:
    good, forged = record("pc-0"), msgspec.structs.replace(record("pc-1"), state="failed")
    older, foreign = record("pc-2", generation=2), msgspec.structs.replace(record("pc-3"), target="pc-0")
    stranger = msgspec.structs.replace(record("pc-3"), target="nobody")
    found = await prove([good, forged, older, foreign, stranger], KNOWN)
    assert [bool(proof.reason) for proof in found] == [False, True, True, True, True]
    assert "says something else" in found[1].reason
    assert "earlier generation" in found[2].reason
    assert "holds no key" in found[4].reason
