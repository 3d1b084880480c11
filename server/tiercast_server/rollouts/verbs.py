"""The verbs of rollouts: `rollout.start`, `.list`, `.show`, `.next`, `.pause`, `.resume`, `.cancel`, `.undo`.

Rules
- Viewers list and show; operators do the rest, and leave a line in the audit log.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Literal

from tiercast_protocol.content.jobs.breaker import Limit
from tiercast_protocol.errors import UsageError
from tiercast_protocol.node.control.verbs import Call, Verbs
from tiercast_server.jobs.checks import MAX_EXPIRY_S, Request
from tiercast_server.rollouts import undo as rollout_undo
from tiercast_server.rollouts import view as rollout_view
from tiercast_server.rollouts.life import Rules
from tiercast_server.rollouts.waves import share_of

if TYPE_CHECKING:
    from tiercast_server.verbs import Desk

Handler = Callable[[Call], Awaitable[Any]]
_LIST, _DAYS_30 = 50, 30 * 86_400
_MOST_NUMBER = 10_000_000


def add_rollout_verbs(verbs: Verbs, desk: Desk, audited: Callable[[Handler], Handler]) -> None:
    """Put them into `verbs`."""
    region, rollouts = desk.region, desk.rollouts

    async def list_(call: Call) -> list[dict[str, Any]]:
        return await rollout_view.list_(region, max(1, call.number("limit", _LIST)))

    async def show(call: Call) -> dict[str, Any]:
        return await rollout_view.show(region, call.text("rollout"))

    async def start(call: Call) -> dict[str, Any]:
        request = Request(
            type="install",
            package=call.text("package"),
            by=call.user,
            targets=tuple(call.texts("targets", [])),
            groups=tuple(call.texts("groups", [])),
            note=call.text("note", ""),
            expires_s=call.number("expires_s", _DAYS_30),
            options=call.mapping("options", {}),
            target=call.text("target", ""),
            follow=False,
            dry_run=call.flag("dry_run", default=False),
            confirm=call.number("confirm", 0),
            role=call.role,
        )
        made = await rollouts.start(request, call.texts("waves", []), rules_of(call))
        for job in made.get("jobs", ()):
            await desk.patches.ordered(job)
        return made | await desk.jobs.foreseen(request, made)

    async def undo(call: Call) -> dict[str, Any]:
        return await rollout_undo.undo(
            region,
            rollouts,
            call.text("rollout"),
            call.user,
            call.number("expires_s", _DAYS_30),
            go_on=share_of(call.text("go_on", "0%"), "rollout.go-on", "The --go-on"),
            dry_run=call.flag("dry_run", default=False),
        )

    def word(said: Literal["next", "pause", "resume", "cancel"]) -> Handler:
        async def handle(call: Call) -> dict[str, Any]:
            made = await rollouts.say(call.text("rollout"), said)
            for job in () if made["undoes"] else made["jobs"]:
                await desk.patches.ordered(job)
            return made

        return audited(handle)

    verbs.add("rollout.list", "viewer", list_)
    verbs.add("rollout.show", "viewer", show)
    verbs.add("rollout.start", "operator", audited(start))
    verbs.add("rollout.undo", "operator", audited(undo))
    verbs.add("rollout.next", "operator", word("next"))
    verbs.add("rollout.pause", "operator", word("pause"))
    verbs.add("rollout.resume", "operator", word("resume"))
    verbs.add("rollout.cancel", "operator", word("cancel"))


def rules_of(call: Call) -> Rules:
    """When the rollout goes on and stops, as the call says.

    Raises:
        UsageError: rollout.go-on, rollout.stop-at, rollout.stop-at-site or rollout.soak.
    """
    return rules(
        go_on=call.text("go_on", "100%"),
        soak=call.number("soak_s", 0),
        by_hand=call.flag("by_hand", default=False),
        stop_at=call.text("stop_at", ""),
        stop_at_site=call.text("stop_at_site", ""),
    )


def rules(*, go_on: str, soak: int, by_hand: bool, stop_at: str, stop_at_site: str) -> Rules:
    """The same, said word by word."""
    if not 0 <= soak <= MAX_EXPIRY_S:
        raise UsageError(
            code="rollout.soak",
            what=f"A pause of {soak} seconds after a wave is none.",
            todo=f"Choose 0 to {MAX_EXPIRY_S} seconds. Nothing was done.",
        )
    stop = _limit(stop_at, "rollout.stop-at")
    at_site = stop_at_site.strip()
    site = stop if not at_site else Limit() if at_site == "off" else _limit(at_site, "rollout.stop-at-site")
    return Rules(
        go_on=share_of(go_on, "rollout.go-on", "The --go-on"),
        soak_ms=soak * 1000,
        by_hand=by_hand,
        stop_share=stop.share,
        stop_number=stop.number,
        site_share=site.share,
        site_number=site.number,
    )


def _limit(text: str, code: str) -> Limit:
    """A number of failed targets, or a share of them; "" is none.

    Raises:
        UsageError: `code`.
    """
    text = text.strip()
    if not text:
        return Limit()
    is_number = text.isdecimal() and len(text) <= len(str(_MOST_NUMBER))
    option = f"The --{code.removeprefix('rollout.')}"
    found = Limit(number=int(text)) if is_number else Limit(share=share_of(text, code, option))
    if not found:
        raise UsageError(
            code=code,
            what=f"A rollout that stops at {text} failed targets would never begin.",
            todo="Say 1 for the first one that fails. Nothing was done.",
        )
    return found
