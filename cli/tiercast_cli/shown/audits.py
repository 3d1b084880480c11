"""What an audit found, in words."""

from __future__ import annotations

from typing import Any

from tiercast_cli.shown import words

_WHO = {"ordered": "ordered", "own": "by itself"}


def lines(audit: dict[str, Any]) -> list[str]:
    """The state of the newest round of each kind, what is missing, and what came back from where."""
    said = [_round(kind, one, running=audit["running"] == kind) for kind, one in _rounds(audit)]
    if audit["running"] and audit.get("busy"):
        said.append("It steps back: transfers are running.")
    missing = {state: count for state, count in audit.get("missing", {}).items() if count}
    if missing:
        said.append("missing still: " + ", ".join(f"{count} {state}" for state, count in sorted(missing.items())))
    said += [
        f"{words.count(count, 'chunk')} came back from {source}"
        for source, count in sorted(audit.get("healed_by", {}).items())
    ]
    extra = audit.get("extra", {})
    if extra.get("chunks") or extra.get("files"):
        size = words.size(extra.get("bytes", 0))
        said.append(
            f"extra: {words.count(extra.get('chunks', 0), 'chunk')} of no known package ({size}),"
            f" {words.count(extra.get('files', 0), 'file')}"
        )
    return said or ["not audited yet"]


def _rounds(audit: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """The round that runs first; one by itself that stands for an ordered one of everything is said once."""
    rounds = audit.get("rounds", {})
    own, ordered = rounds.get("own"), rounds.get("ordered")
    same = own and ordered and own["ended"] and own["ended"] == ordered["ended"]
    kinds = ["ordered"] if same else ["ordered", "own"]
    return [(kind, rounds[kind]) for kind in kinds if kind in rounds]


def _round(kind: str, one: dict[str, Any], *, running: bool) -> str:
    bad = f"{one['damaged']} damaged, {one['lost']} lost" if one["damaged"] or one["lost"] else "all good"
    figures = f"{words.count(one['chunks'], 'chunk')}, {words.size(one['bytes'])}, {bad}"
    if not one["ended"]:
        done = words.share(one["bytes"], max(one["total"], 1))
        return f"audit {_WHO[kind]}: {done}{'' if running else ', waiting'}: {figures}"
    return f"audit {_WHO[kind]}, ended {words.moment(one['ended'])}: {figures}"
