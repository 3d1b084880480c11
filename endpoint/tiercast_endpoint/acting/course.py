"""In which order the actions of a new version, and what is left of an old one, are carried out.

Rules
- The new version's actions come first, in their order; what the old version did and the new one does not is taken back
  after that, the last one first.  So an upgrade has no moment without the files that both have.
- An action of the same identity replaces the old one: nothing is taken back in between.
- A removal is the course to a version without actions.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tiercast_endpoint.acting.effects import DO, DONE, TAKE, Acted, Effect
from tiercast_protocol.content.package.actiontypes import Action


@dataclass(frozen=True, slots=True)
class Deed:
    """One thing to do: an action, or the taking back of an old one; `old` is what stands of the same identity."""

    kind: str
    identity: str
    position: int
    action: Action | None = None
    old: Acted | None = None


def course(old: Sequence[Acted], new: Sequence[Action]) -> list[Deed]:
    """What is to be done, in order, on a machine where `old` stands."""
    standing = {one.identity: one for one in old}
    deeds = [
        Deed(DO, action.identity, position, action, standing.get(action.identity))
        for position, action in enumerate(new)
    ]
    kept = {deed.identity for deed in deeds}
    left = [one for one in sorted(old, key=lambda one: -one.position) if one.identity not in kept]
    return deeds + [Deed(TAKE, one.identity, len(new) + number, None, one) for number, one in enumerate(left)]


def before(acted: Iterable[Acted], effects: Iterable[Effect]) -> list[Acted]:
    """What stood before the job whose effects these are began, in order of doing."""
    standing = {one.identity: one for one in acted}
    for effect in effects:
        if effect.phase == DONE:
            standing.pop(effect.identity, None)
        if effect.old is not None:
            standing[effect.identity] = effect.old
    return sorted(standing.values(), key=lambda one: one.position)
