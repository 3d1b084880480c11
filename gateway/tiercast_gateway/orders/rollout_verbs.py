"""The verbs of rollouts at a gateway's own socket: what is held below it, and a person's word that lets it go on.

Rules
- The same names as at the server's socket, as far as they can hold here: a gateway knows the breaker of a rollout below
  it, not its waves.
- They answer with the link to the centre down.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tiercast_gateway.orders.breakers import Breakers
    from tiercast_protocol.node.control.peers import Role
    from tiercast_protocol.node.control.verbs import Call


class RolloutVerbs:
    """Handlers; each takes a call and gives plain values."""

    def __init__(self, breakers: Breakers) -> None:
        self._breakers = breakers

    def table(self) -> list[tuple[str, Role, Callable[[Call], Awaitable[Any]]]]:
        """Name, role and handler of each."""
        return [
            ("rollout.list", "viewer", self.list_),
            ("rollout.show", "viewer", self.show),
            ("rollout.resume", "operator", self.resume),
        ]

    async def list_(self, call: Call) -> list[dict[str, Any]]:
        """Rollouts with a breaker that passed here."""
        del call
        return self._breakers.all_shown()

    async def show(self, call: Call) -> dict[str, Any]:
        """One: what failed below, of how many, and whether it is held here or above."""
        return self._breakers.shown(call.text("rollout"))

    async def resume(self, call: Call) -> dict[str, Any]:
        """Let it go on below this gateway; what failed so far counts no more."""
        return await self._breakers.resume(call.text("rollout"))
