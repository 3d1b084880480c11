"""Receipts: final, signed by the endpoint, to the last bit."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tiercast_protocol.content.jobs.receipt import (
    DOMAIN,
    RELAY_STATES,
    STATES,
    ProgramResult,
    Receipt,
    open_receipt,
    sign_receipt,
)
from tiercast_protocol.content.sealed.digest import digest_of
from tiercast_protocol.content.trust.keys import PrivateKey
from tiercast_protocol.errors import MessageInvalid, SignatureInvalid
from tiercast_protocol.wire import codec

KEY = PrivateKey(bytes(range(32)))
RECEIPT = Receipt(
    job="job-7",
    revision=1,
    attempt=2,
    seq=40,
    node="desk-1",
    generation=1,
    state="failed",
    code="program.failed",
    detail="before.sh ended with 3",
    started=1_700_000_000_000,
    finished=1_700_000_060_000,
    package="editor",
    version="1.0",
    root=digest_of(b"root"),
    programs=[ProgramResult(argv=["./before.sh"], exit=3, timed_out=False, seconds=0.5, output="no room\n")],
)
SIGNED, SIGNATURE = sign_receipt(RECEIPT, KEY)


def test_round_trip() -> None:
    assert open_receipt(SIGNED, SIGNATURE, KEY.public) == RECEIPT


def test_golden() -> None:
    assert digest_of(SIGNED).hex() == "647f7b34756fd3861cdde5b2b66bd17d0683431d3bd61ecb80ef7a44c841a76d"


@settings(max_examples=200)
@given(st.integers(0, len(SIGNED) * 8 - 1))
def test_every_bit_counts(bit: int) -> None:
    changed = bytearray(SIGNED)
    changed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(SignatureInvalid):
        open_receipt(bytes(changed), SIGNATURE, KEY.public)


def test_states() -> None:
    final = {state for state, ends in STATES.items() if ends}
    assert final == {"done", "failed", "interrupted", "cancelled", "rejected", "expired"}
    assert not RELAY_STATES.keys() & STATES.keys()
    for state in final:
        receipt = msgspec.structs.replace(RECEIPT, state=state)
        assert open_receipt(*sign_receipt(receipt, KEY), KEY.public).state == state


@pytest.mark.parametrize(
    "change", [{"state": "fetching"}, {"state": "held"}, {"state": ""}, {"node": ""}, {"job": "a/b"}, {"seq": -1}]
)
def test_no_receipt(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"."):
        msgspec.structs.replace(RECEIPT, **change)
    data = codec.encode(msgspec.structs.asdict(RECEIPT) | change)
    with pytest.raises(MessageInvalid, match="receipt"):
        open_receipt(data, KEY.sign(DOMAIN, data), KEY.public)


def test_another_purpose() -> None:
    with pytest.raises(SignatureInvalid):
        open_receipt(SIGNED, KEY.sign("tiercast order 1", SIGNED), KEY.public)
