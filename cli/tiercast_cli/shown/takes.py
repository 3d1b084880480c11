"""What machines take of a package, as a table: file group, and the value of each variable with where it comes from.

Rules
- `package show --on` and the dry run of an installation print the same.
"""

from __future__ import annotations

from typing import Any

from tiercast_cli.shown import words

#: Machines that a dry run prints; `--json` has those that were asked.
_SHOWN = 20


def print_takes(rows: list[dict[str, Any]]) -> None:
    """One line for the files of each machine and for each of its variables."""
    table: list[tuple[str, str, str, str]] = []
    for row in rows:
        if row["problem"]:
            table.append((row["node"], "-", "", row["problem"]))
            continue
        told = "" if row["asked"] else "; by what it said last, its settings are not known"
        table.append((row["node"], "files", row["group"] or "all", "of its group" if row["group"] else f"all{told}"))
        table += [(row["node"], name, one["text"], one["source"] + told) for name, one in row["values"].items()]
    print(words.table(("node", "what", "value", "from"), table))


def print_foreseen(found: dict[str, Any]) -> None:
    """Of a dry run: what its targets would take, where that is not the same everywhere."""
    rows: list[dict[str, Any]] = found.get("takes") or []
    if not rows:
        return
    print_takes([row | {"values": _said(row["values"])} for row in rows[:_SHOWN]])
    if len(rows) > _SHOWN:
        print(f"and {len(rows) - _SHOWN} more (--json shows all)")
    for group, count in sorted((found.get("takes_more") or {}).items()):
        what = f"the files of {group}" if group else "none, or all, of its files"
        print(f"{words.count(count, 'more target')} by what was said last: {what}")


def _said(values: dict[str, Any]) -> dict[str, Any]:
    """Those that the package declares: what every package knows needs no telling."""
    from tiercast_protocol.content.package.variables import OWN  # noqa: PLC0415 - it costs what a dry run alone needs

    return {name: one for name, one in values.items() if name not in OWN}
