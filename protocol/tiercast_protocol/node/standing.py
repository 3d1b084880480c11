"""Where a node stands: its home, its candidates, its present parent; and the file that remembers it.

Rules
- `parents.json` in the state folder, the owner's alone, written whole before a move is made.
- Without the file, or with one of another generation of this node's key, the node is at home, as it joined.
- `before` is the parent that the node left last: what was for it goes to the present one, also after a crash between.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

import msgspec

from tiercast_protocol.errors import StateError
from tiercast_protocol.node.config import Duration, setting
from tiercast_protocol.node.hop import Parent
from tiercast_protocol.node.joined import Enrolled, write_private

FILE = "parents.json"
GoingHome = Literal["told", "auto"]


@dataclass(frozen=True, slots=True)
class Choice:
    """Where a node may go; lower `cost` first."""

    parent: Parent
    cost: int = 0


@dataclass(frozen=True, slots=True)
class Policy:
    """Seconds of patience with a parent that is away; whether the node goes home by itself."""

    patience: float = 20.0
    auto: bool = False


@dataclass(frozen=True, slots=True)
class ParentSettings:
    """What a node does while its parent is away."""

    patience: Duration = setting(
        Duration(20.0), doc="How long a parent may be away before another is looked for; stretched by chance."
    )
    going_home: GoingHome = setting(
        "told", doc='"told": home only when the region says so; "auto": as soon as home is there again.'
    )

    def policy(self) -> Policy:
        """As the machine takes it."""
        return Policy(self.patience, self.going_home == "auto")


@dataclass(frozen=True, slots=True)
class Standing:
    """What outlives the process.

    Attributes:
        home, candidates: as the region said last.
        present: where the node is.
        called: when the region last called home, and the last call that was followed.
        obeyed: see `called`.
        reason: why it is where it is.
    """

    home: Choice
    candidates: tuple[Choice, ...]
    present: Parent
    called: int = 0
    obeyed: int = 0
    reason: str = ""

    def address_of(self, name: str) -> str:
        """Where the parent `name` is known to be; "" where it is not known."""
        known = (self.home.parent, *(one.parent for one in self.candidates), self.present)
        return next((parent.url for parent in known if parent.name == name), "")

    def with_address(self, parent: Parent) -> Standing:
        """With `parent` at this address wherever it is named; a candidate more, where it is not."""
        home, *others = (
            replace(one, parent=parent) if one.parent.name == parent.name else one
            for one in (self.home, *self.candidates)
        )
        known = parent.name in {one.parent.name for one in (home, *others)}
        return replace(self, home=home, candidates=tuple(others) if known else (*others, Choice(parent)))


@dataclass(frozen=True, slots=True)
class Kept:
    """The file.

    Attributes:
        seq: of the last placing that was said.
        before: who was left last, while what was for it is not readdressed.
        issued: of the region's last list.
        told: home's address in that list.  The one that the node joined by stands until the region names another: it
            may lead there another way.
    """

    standing: Standing
    generation: int
    seq: int = 0
    before: str = ""
    issued: int = 0
    told: str = ""


def at_first(me: Enrolled) -> Kept:
    """As the node joined."""
    home = Parent(me.parent, me.url)
    return Kept(Standing(Choice(home), (), home, reason="joined"), me.generation)


def load(folder: Path, me: Enrolled) -> Kept:
    """What the file says, or how the node joined.

    Raises:
        StateError: the file is damaged.
    """
    path = folder / FILE
    try:
        kept = msgspec.convert(json.loads(path.read_text("utf-8")), Kept)
    except FileNotFoundError:
        return at_first(me)
    except (OSError, ValueError) as error:
        todo = "Remove it: the node goes to the parent that it joined below, and finds out."
        raise StateError(str(path), "can't be read, or is damaged", todo) from error
    return kept if kept.generation == me.generation else at_first(me)


def save(folder: Path, kept: Kept) -> None:
    """Write it, durably."""
    write_private(folder / FILE, json.dumps(asdict(kept), indent=1) + "\n")
