"""What a machine says of itself: signed, bounded, and in one table of facts."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tiercast_protocol.content.facts.inventory import FACTS, SOFTWARE, Facts, Inventory, open_inventory, sign_inventory
from tiercast_protocol.content.trust.keys import PrivateKey
from tiercast_protocol.errors import MessageInvalid, SignatureInvalid
from tiercast_protocol.wire import codec

FIRST = Facts(
    name="pc", os="linux", distribution="debian", version="12", kernel="6.1", architecture="x86_64", cpus=2,
    memory=1 << 32, disk_free=1, disk_total=2, python="3.11.2", agent="1", packages={"a": "1"}, labels={"site": "b"},
)  # fmt: skip
SAID = Inventory(region="r", node="pc", generation=1, seq=3, at=5, facts=FIRST, groups=["g"])


def test_the_table_names_every_fact() -> None:
    assert list(FACTS) == [*(field.name for field in msgspec.structs.fields(Facts)), SOFTWARE]
    assert all(FACTS.values())


def test_only_the_key_that_signed_opens_it() -> None:
    key = PrivateKey.generate()
    data, signature = sign_inventory(SAID, key)
    assert open_inventory(data, signature, key.public) == SAID
    with pytest.raises(SignatureInvalid):
        open_inventory(data, signature, PrivateKey.generate().public)
    with pytest.raises(SignatureInvalid):
        open_inventory(data[:-1] + b"x", signature, key.public)


@pytest.mark.parametrize(
    "wrong",
    [
        {"seq": -1},
        {"at": 1 << 60},
        {"node": "other"},
        {"groups": ["no name"]},
        {"groups": [f"g{number}" for number in range(65)]},
        {"facts": {"kernel": "x" * 300}},
        {"facts": {"memory": -1}},
        {"facts": {"labels": {"a": "x" * 300}}},
        {"facts": {"packages": {f"p{number}": "1" for number in range(1001)}}},
        {"facts": {"cpus": "two"}},
    ],
)
def test_what_no_tier_could_keep_is_refused(wrong: dict[str, Any]) -> None:
    key = PrivateKey.generate()
    plain = codec.decode_plain(codec.encode(SAID))
    plain |= {name: plain[name] | value if name == "facts" else value for name, value in wrong.items()}
    data = codec.encode(plain)
    with pytest.raises(MessageInvalid):
        open_inventory(data, key.sign("tiercast inventory 1", data), key.public)
