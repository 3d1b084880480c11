"""Whom a job is for: options of every order, and what a dry run shows."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from tiercast_cli.said.options import OnGroups
from tiercast_cli.shown import words
from tiercast_cli.shown.takes import print_foreseen

#: Name of the parameter: (annotation, default).
TARGETS: dict[str, tuple[Any, Any]] = {
    "group": (OnGroups, []),
    "target": (
        Annotated[
            str,
            typer.Option(
                "--target",
                "-t",
                metavar="EXPR",
                help="node NAME, group NAME, below GATEWAY, where (CONDITION); joined by and, or, minus, not.",
            ),
        ],
        "",
    ),
    "dry_run": (Annotated[bool, typer.Option("--dry-run", help="Only show how many and who, by site.")], False),
    "confirm": (
        Annotated[int, typer.Option("--confirm", metavar="N", help="The exact number of targets, for a large job.")],
        0,
    ),
    "once": (
        Annotated[bool, typer.Option("--once", help="Not for those who join its groups later.", show_default=False)],
        False,
    ),
}
_SHOWN = 12


def targets_of(given: dict[str, Any]) -> dict[str, Any]:
    """What goes over the socket of these options; what was not said is left out."""
    said: dict[str, Any] = {"targets": given["on"], "groups": given["group"]}
    said |= {name: given[name] for name in ("target", "dry_run", "confirm") if given[name]}
    return said | ({"follow": False} if given["once"] else {})


def print_dry_run(found: dict[str, Any]) -> None:
    """How many and who, by site."""
    print(
        f"{words.count(found['targets'], 'target')} at {words.count(len(found['sites']), 'site')}; nothing was ordered."
    )
    rows = [(site["site"], site["targets"], _some(site["nodes"])) for site in found["sites"]]
    print(words.table(("site", "targets", "nodes"), rows))
    print_needs(found.get("needs") or [])
    print_foreseen(found)
    refused: list[dict[str, Any]] = found.get("refused") or []
    for one in refused[:_SHOWN]:
        print(f"Refused by {one['node']}: {one['why']}")
    if len(refused) > _SHOWN:
        print(f"and by {len(refused) - _SHOWN} more (--json shows all)")
    print_unknown(found["unknown"])
    if found["confirm"]:
        print(f"So many must be confirmed: --confirm={found['targets']}")


def print_needs(needs: list[dict[str, Any]]) -> None:
    """What is installed before it, for it is needed and missing."""
    for one in needs:
        job = f" (job {one['job']})" if one.get("job") else ""
        print(f"First {one['package']}{job} on {words.count(one['targets'], 'node')}: {words.size(one['bytes'])} each")


def _some(names: list[str]) -> str:
    more = f", and {len(names) - _SHOWN} more (--json shows all)" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def print_unknown(unknown: dict[str, int]) -> None:
    """Say how many machines are not meant because a fact is not known of them."""
    for fact, number in sorted(unknown.items()):
        print(f"{words.count(number, 'machine')} left out: {fact} is not known of them.")
