"""A parent proves itself to a node: its own word for this question counts, nobody else's and no other."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from tiercast_protocol.content.trust.credential import Credential, sign_credential
from tiercast_protocol.content.trust.keys import PrivateKey
from tiercast_protocol.content.trust.proving import Proof, Prover, check_parent
from tiercast_protocol.errors import MessageInvalid, SignatureInvalid

REGION, KEY, OTHER = PrivateKey(bytes(32)), PrivateKey(bytes(range(32))), PrivateKey(bytes([7] * 32))
NONCE = b"n" * 16


def prover(*, name: str = "berlin", role: str = "gateway", region: str = "lab", signer: PrivateKey = REGION) -> Prover:
    credential = Credential(
        region=region,
        name=name,
        role=role,
        parent="top",
        public_key=KEY.public,
        generation=2,
        issued=5,
        server="top",
    )
    return Prover("lab", "berlin", KEY, *sign_credential(credential, signer))


def check(proof: Proof, **changed: Any) -> None:
    asked = {"region": "lab", "parent": "berlin", "node": "pc", "nonce": NONCE, "region_key": REGION.public}
    check_parent(proof, **asked | changed)


def test_a_gateway_proves_itself_by_its_credential_and_the_server_by_the_regions_key() -> None:
    check(prover().prove("pc", NONCE))
    check(Prover("lab", "top", REGION).prove("pc", NONCE), parent="top")


@pytest.mark.parametrize(
    "changed",
    [{"node": "pc-2"}, {"nonce": b"m" * 16}, {"parent": "rome"}, {"region": "home"}, {"region_key": KEY.public}],
)
def test_a_proof_serves_for_this_question_alone(changed: dict[str, Any]) -> None:
    for proof in (prover().prove("pc", NONCE), Prover("lab", "berlin", REGION).prove("pc", NONCE)):
        with pytest.raises(SignatureInvalid):
            check(proof, **changed)


@pytest.mark.parametrize(
    "wrong",
    [
        prover(signer=OTHER),
        prover(name="rome"),
        prover(role="endpoint"),
        prover(region="home"),
        replace(prover(), key=OTHER),
        Prover("lab", "berlin", KEY),
    ],
)
def test_anothers_credential_key_or_role_proves_nothing(wrong: Prover) -> None:
    with pytest.raises(SignatureInvalid):
        check(wrong.prove("pc", NONCE))


def test_what_is_signed_and_no_credential_is_refused() -> None:
    proof = msgspec.structs.replace(
        prover().prove("pc", NONCE), credential=b"x", credential_signature=REGION.sign("tiercast credential 1", b"x")
    )
    with pytest.raises(MessageInvalid):
        check(proof)
