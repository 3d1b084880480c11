"""What an agent makes of an order."""

from __future__ import annotations

import msgspec
import pytest
from tests.endpoint.lab import Region, pack

from tiercast_endpoint.jobs.orders import Accepted, Refused, Repeated, Seen, Stale, judge, open_bundle
from tiercast_protocol.content.trust.keys import PrivateKey
from tiercast_protocol.errors import MessageInvalid, SignatureInvalid
from tiercast_protocol.wire.messages import OrderBundle

PACKAGE = pack("hello", "1.0", {"f": b"x"})
NOW = 1_000_000


def test_an_order_for_us_opens(region: Region) -> None:
    order = region.order("j1", "install", PACKAGE)
    assert open_bundle(region.bundle(order), region.identity) == order


def test_what_the_region_did_not_sign_for_us_has_no_effect(region: Region) -> None:
    order = region.order("j1", "install", PACKAGE)
    good = region.bundle(order)
    another = Region(PrivateKey.generate(), region.node_key).bundle(order)
    later = Region(region.key, region.node_key, generation=2)
    forged = [
        another,
        msgspec.structs.replace(good, order=good.order[:-1] + bytes([good.order[-1] ^ 1])),
        msgspec.structs.replace(good, targets=[]),
        msgspec.structs.replace(good, targets=[msgspec.structs.replace(good.targets[0], node="pc2")]),
        msgspec.structs.replace(good, targets=[msgspec.structs.replace(good.targets[0], proof=[])]),
        msgspec.structs.replace(good, targets=[msgspec.structs.replace(good.targets[0], index=1)]),
        OrderBundle(order=b"", signature=b"", targets=[]),
    ]
    for bundle in forged:
        with pytest.raises((SignatureInvalid, MessageInvalid)):
            open_bundle(bundle, region.identity)
    with pytest.raises(SignatureInvalid):
        open_bundle(good, later.identity)
    elsewhere = region.bundle(msgspec.structs.replace(order, region="other"))
    with pytest.raises(SignatureInvalid, match="region"):
        open_bundle(elsewhere, region.identity)


@pytest.mark.parametrize(
    ("seen", "changes", "verdict"),
    [
        (Seen(1, 0, 0), {}, Accepted),
        (Seen(1, 0, 1), {}, Repeated),
        (Seen(1, 0, 2), {}, Stale),
        (Seen(9, 0, 2), {}, Stale),
        (Seen(1, 0, 1), {"revision": 2, "type": "cancel"}, Accepted),
        (Seen(2, 0, 0), {}, "order.epoch"),
        (Seen(1, 0, 0), {"expires": NOW}, "order.expired"),
        (Seen(1, NOW + 1000, 0), {"expires": NOW + 1000}, "order.expired"),
        (Seen(1, NOW + 1000, 0), {"expires": NOW + 1001}, Accepted),
        (Seen(1, 0, 0), {"type": "purge"}, "order.type"),
        (Seen(1, 0, 0), {"type": "teleport"}, "order.type"),
        (Seen(1, 0, 0), {"type": "remove"}, Accepted),
        (Seen(1, 0, 0), {"options": {"install_at": 5}, "must": ["install_at"]}, Accepted),
        (Seen(1, 0, 0), {"options": {"when_moon": 5}, "must": ["when_moon"]}, "order.unknown-option"),
        (Seen(1, 0, 0), {"type": "teleport", "must": ["when_moon"]}, "order.unknown-option"),
        (Seen(1, 0, 0), {"options": {"install_at": 5, "rate": 9}}, Accepted),
        (Seen(1, 0, 0), {"options": {"install_window": "at full moon"}}, "order.times"),
        (Seen(1, 0, 1), {"revision": 2, "type": "cancel", "options": {"install_when": "?"}}, Accepted),
    ],
)
def test_the_table(region: Region, seen: Seen, changes: dict[str, object], verdict: object) -> None:
    order = msgspec.structs.replace(
        region.order("j1", "install", PACKAGE, issued=NOW - 100, life_ms=3_600_000), **changes
    )
    found = judge(order, seen, now_ms=NOW)
    if isinstance(found, Refused):
        assert found.outcome.code == verdict
    else:
        assert type(found) is verdict
