"""The breaker of a rollout, as every tier reads it (docs/jobs.md, "Rollouts").

Rules
- An order of a rollout says in its options of which one it is, and at how many failed targets a site stops by itself;
  both are signed with it, so no relay can raise the limit.
- What a gateway says of its breaker is signed by the gateway; that a person opens it again is signed by the region, and
  numbered: the higher number stands, so lost, late and repeated words do no harm.
- Shares are thousandths of a hundredth: 2.5% is 2,500.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from tiercast_protocol.content.trust.keys import PrivateKey
from tiercast_protocol.content.trust.signed import opened, signed
from tiercast_protocol.wire.topics import valid_name

TRIP_DOMAIN, AGAIN_DOMAIN = "tiercast breaker 1", "tiercast rollout again 1"
#: In an order's options: of which rollout it is, the limits of a site, and how often a person opened breakers again.
ROLLOUT, SITE_NUMBER, SITE_SHARE, AGAIN = "rollout", "site_stop_number", "site_stop_share", "rollout_again"
#: And which versions the rollout replaces, with commas: while it can be undone gateways keep them.
FORMERS = "rollout_formers"
WORDS = frozenset({ROLLOUT, SITE_NUMBER, SITE_SHARE, AGAIN, FORMERS})
#: Most former versions that an order names.
MOST_FORMERS = 20
WHOLE = 100_000
#: Ends that count against a package.
BAD = frozenset({"failed", "interrupted", "rejected"})
_MOST = 1 << 53


@dataclass(frozen=True, slots=True)
class Limit:
    """At how many failed targets, or at what share of all, it stops; 0 is: not by that."""

    number: int = 0
    share: int = 0

    def reached(self, bad: int, total: int) -> bool:
        """Whether `bad` of `total` targets are too many."""
        by_number = 0 < self.number <= bad
        return by_number or (self.share > 0 and bad > 0 and bad * WHOLE >= self.share * total)

    def __bool__(self) -> bool:
        """Whether it ever stops."""
        return self.number > 0 or self.share > 0

    def __str__(self) -> str:
        """As a person reads it; "" for never."""
        share = f"{self.share * 100 / WHOLE:g}%" if self.share else ""
        return " or ".join(word for word in (share, str(self.number or "")) if word)


def limit_of(options: Mapping[str, object]) -> Limit:
    """The limit of a site, as an order says it; what can't be read is none."""
    found = [options.get(word, 0) for word in (SITE_NUMBER, SITE_SHARE)]
    number, share = (value if type(value) is int and 0 < value < _MOST else 0 for value in found)
    return Limit(number, share)


def formers_of(options: Mapping[str, object]) -> frozenset[str]:
    """The versions that an order with these options replaces."""
    text = options.get(FORMERS, "")
    found = text.split(",") if isinstance(text, str) else []
    return frozenset(version for version in found[:MOST_FORMERS] if version)


def rollout_of(options: Mapping[str, object]) -> str:
    """The rollout of an order with these options; "" for none."""
    found = options.get(ROLLOUT, "")
    return found if isinstance(found, str) and valid_name(found) else ""


class Trip(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the breaker of `rollout` at the gateway `node` is.

    Attributes:
        generation: of the gateway's key.
        seq: rises with every word of this gateway on this rollout; the highest stands.
        at: milliseconds since 1970.
        shut: whether nothing more of the rollout begins below.
        bad, total: failed targets below the gateway, and all of them.
        limit: at what it stops, as a person reads it.
    """

    region: str
    node: str
    generation: int
    rollout: str
    seq: int
    at: int
    shut: bool
    bad: int
    total: int
    limit: str = ""

    def __post_init__(self) -> None:
        """Refuse what can't be meant."""
        if not (valid_name(self.region) and valid_name(self.node) and valid_name(self.rollout)):
            raise ValueError("region, node or rollout is no name")
        numbers = (self.generation, self.seq, self.at, self.bad, self.total)
        if not all(0 <= number < _MOST for number in numbers) or len(self.limit) > 64:  # noqa: PLR2004 - a few words
            raise ValueError("a number, or the limit, is out of range")


class Again(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A person opened the breakers of `rollout` for the `again`th time: what failed so far counts no more."""

    region: str
    epoch: int
    rollout: str
    again: int

    def __post_init__(self) -> None:
        """Refuse what can't be meant."""
        if not (valid_name(self.region) and valid_name(self.rollout)):
            raise ValueError("region or rollout is no name")
        if not (0 <= self.epoch < _MOST and 1 <= self.again < _MOST):
            raise ValueError("a number is out of range")


def sign_trip(trip: Trip, key: PrivateKey) -> tuple[bytes, bytes]:
    """The word's bytes and the gateway's signature of them."""
    return signed(trip, TRIP_DOMAIN, key)


def open_trip(data: bytes, signature: bytes, public_key: bytes) -> Trip:
    """The word in `data`, proved to be of the holder of `public_key`.

    Raises:
        SignatureInvalid: not signed by this key.
        MessageInvalid: signed, and yet nothing that this node can read.
    """
    return opened(Trip, TRIP_DOMAIN, data, signature, public_key, "breaker")


def sign_again(again: Again, key: PrivateKey) -> tuple[bytes, bytes]:
    """The word's bytes and the region's signature of them."""
    return signed(again, AGAIN_DOMAIN, key)


def open_again(data: bytes, signature: bytes, region_key: bytes) -> Again:
    """The word in `data`, proved to be the region's; errors as `open_trip`."""
    return opened(Again, AGAIN_DOMAIN, data, signature, region_key, "breaker")
