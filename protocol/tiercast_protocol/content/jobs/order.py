"""Orders: the region's signed instruction of one job at one revision.

Rules
- One signature per (job, revision); what is signed is what travels, byte for byte, so no relay encodes again.
- The order names its targets by a Merkle root over (name, key, generation); each target gets its own proof and obeys
  only with it.  An order never names "all".
- `epoch` fences a server that lost its place; `expires` ends replay; `revision` replaces an earlier order of the job.
- `release_signatures` is the place of the second signature, by release keys; empty for now.
- A field more with a default is ignored by older readers; what they must not ignore is a new domain.  Options that must
  not be ignored are named in `must`, and a type that a reader does not know is for it to refuse, by a receipt.
"""

from __future__ import annotations

import msgspec

from tiercast_protocol.content.jobs import jobtypes
from tiercast_protocol.content.sealed import merkle
from tiercast_protocol.content.sealed.digest import DIGEST_SIZE, Digest
from tiercast_protocol.content.sealed.manifest import valid_version
from tiercast_protocol.content.trust.keys import PrivateKey
from tiercast_protocol.content.trust.signed import opened, signed
from tiercast_protocol.wire.messages import OrderTarget
from tiercast_protocol.wire.topics import valid_name

DOMAIN = "tiercast order 1"
INSTALL, REMOVE, PRELOAD, PURGE, CANCEL = "install", "remove", "preload", "purge", "cancel"
#: A cancel is an order, but no job of its own.
TYPES = frozenset(jobtypes.TYPES) | {CANCEL}
#: Types that are about one certain content, so that their order must name its root.
_OF_CONTENT = jobtypes.with_content()
_MAX_OPTIONS = 64
#: Options of a cancel: it is for some targets and not for the whole job; it does not wait for programs that run.
SOME, FORCE = "some", "force"


class Order(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the region orders.

    Attributes:
        region: name of the region.
        epoch: of the server that signed; only ever grows.
        job: id of the job.
        revision: of the job, from 1; a cancel is a later revision of the job that it cancels.
        type: one of `TYPES`; of a later version perhaps another word.
        package, version, package_revision: what it is about; "" and 0 where only a job is meant.
        root: digest of the package's root; b"" where the type needs none.
        issued, expires: milliseconds since 1970.
        targets_root: Merkle root of the targets' leaves.
        target_count: how many there are, at least 1.
        options: of the job's type.
        must: those of them that nobody may carry it out without (`understood`).
        release_signatures: by release keys.
    """

    region: str
    epoch: int
    job: str
    revision: int
    type: str
    package: str
    version: str
    package_revision: int
    root: Digest
    issued: int
    expires: int
    targets_root: Digest
    target_count: int
    options: dict[str, str | int | bool] = {}
    must: list[str] = []
    release_signatures: list[bytes] = []

    def __post_init__(self) -> None:
        """Refuse what can't be an order."""
        if not valid_name(self.type):
            raise ValueError(f"{self.type[:40]!r} can't be a type")
        if not valid_name(self.region) or not valid_name(self.job):
            raise ValueError("region or job is no name")
        if self.package or self.version or self.type in _OF_CONTENT:
            self._check_package()
        if len(self.root) != DIGEST_SIZE and (self.root or self.type in _OF_CONTENT):
            raise ValueError("root is no digest")
        if len(self.targets_root) != DIGEST_SIZE or not 1 <= self.target_count <= merkle.MAX_LEAVES:
            raise ValueError("no targets, or no digest over them")
        if (
            self.epoch < 0
            or self.revision < 1
            or not 0 < self.issued <= self.expires
            or max(len(self.options), len(self.must)) > _MAX_OPTIONS
        ):
            raise ValueError("epoch, revision, times or options out of range")

    def _check_package(self) -> None:
        if not valid_name(self.package) or not valid_version(self.version) or self.package_revision < 1:
            raise ValueError("package, version or its revision out of range")


def sign_order(order: Order, key: PrivateKey) -> tuple[bytes, bytes]:
    """The order's bytes and the region's signature of them."""
    return signed(order, DOMAIN, key)


def open_order(data: bytes, signature: bytes, region_public_key: bytes) -> Order:
    """The order in `data`, proved to be the region's.  Whether it is in time is for the caller's clock.

    Raises:
        SignatureInvalid: not signed by this key.
        MessageInvalid: signed, and yet no order that this node can read.
    """
    return opened(Order, DOMAIN, data, signature, region_public_key, "order")


def check_target(order: Order, target: OrderTarget, public_key: bytes, generation: int) -> None:
    """Check that the node `target.node`, with this key of this generation, is a target of `order`.

    Raises:
        SignatureInvalid: it is not.
    """
    leaf = merkle.leaf_of(target.node, public_key, generation)
    merkle.verify(order.targets_root, leaf, target.index, order.target_count, target.proof)
