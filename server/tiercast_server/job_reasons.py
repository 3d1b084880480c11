"""Why a target waits: what the gateways on its way say, put together (docs/protocol-steering.md, section 7).

Rules
- Each gateway says of each of its children why nothing goes to it; the way of a target is the chain of its parents.
- A link that is cut goes before all that lies below it, for nothing newer comes from there.  Else the reason nearest to
  the target stands.
- What the target says of itself stands; an ended target waits for nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tiercast_gateway.reasons import decoded

#: States in which a target may wait for the transfer.
WAITING = frozenset({"ordered", "waiting", "fetching"})
AWAY = "away"
_LONGEST_WAY = 64

#: By gateway: code and text by child.
Said = Mapping[str, Mapping[str, tuple[str, str]]]


def said_by(hops: list[dict[str, Any]]) -> dict[str, dict[str, tuple[str, str]]]:
    """What the rows of hops say; takes it out of them."""
    return {hop["node"]: decoded(hop.pop("why", "")) for hop in hops}


def why(node: str, parents: Mapping[str, str], said: Said) -> tuple[str, str] | None:
    """Why nothing goes to `node`; `parents` gives the parent of every node, of the server none."""
    nearest: tuple[str, str] | None = None
    away: tuple[str, str] | None = None
    child = node
    for _ in range(_LONGEST_WAY):
        parent = parents.get(child)
        if parent is None:
            break
        found = said.get(parent, {}).get(child)
        if found is not None and found[0] == AWAY:
            away = found
        elif found is not None and nearest is None:
            nearest = found
        child = parent
    return away or nearest


def explain(rows: list[dict[str, Any]], parents: Mapping[str, str], said: Said) -> None:
    """Write code and detail into those rows of targets that wait and say nothing themselves."""
    for row in rows:
        if row["state"] in WAITING and not row["code"]:
            found = why(row["node"], parents, said)
            if found is not None:
                row["code"], row["detail"] = found
