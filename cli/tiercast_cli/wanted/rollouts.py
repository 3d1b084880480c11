"""`tiercast rollout ...`: a package in waves, each when the one before went well; and back again."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from tiercast_cli.said.durations import seconds_of
from tiercast_cli.said.options import Json, OnEndpoints, Package, Rollout
from tiercast_cli.said.provisos import OF_OWNER, OF_REPLACING, provisos_of
from tiercast_cli.said.targets import TARGETS, print_unknown, targets_of
from tiercast_cli.said.terms import JOB, taking, terms_of
from tiercast_cli.said.times import OF_INSTALLATION, OF_TRANSFER, times_of
from tiercast_cli.shown import words
from tiercast_cli.shown.takes import print_foreseen
from tiercast_cli.talk.session import ask, emit, run

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="A package in waves, and back again.")

_START = """\b
Examples:
  tiercast rollout start editor=2.1 --target 'group sales' --wave 1 --wave 10% --wave 50% --wave rest --dry-run
  tiercast rollout start editor=2.1 --group sales --wave 'group pilots' --wave rest --go-on 95% --soak 1d --stop-at 5%
  tiercast rollout start editor=2.1 --group sales --wave 10 --wave rest --by-hand --stop-at 3 --rate 2MB/s
"""
_SHOWN = 8
#: Rows of those who failed.
_FAILED = 20

Expires = Annotated[str, typer.Option("--expires", help="How long all of it may take: 12h, 30d.")]
_OWN: dict[str, tuple[Any, Any]] = {
    "wave": (
        Annotated[
            list[str],
            typer.Option("--wave", metavar="WAVE", help="5, 10%, an expression as after --target, or rest; in order."),
        ],
        [],
    ),
    "go_on": (
        Annotated[
            str, typer.Option("--go-on", metavar="SHARE", help="The next wave begins when so much of one is done.")
        ],
        "100%",
    ),
    "soak": (
        Annotated[str, typer.Option("--soak", metavar="TIME", help="And when so much time has passed since: 1h, 2d.")],
        "",
    ),
    "by_hand": (Annotated[bool, typer.Option("--by-hand", help="And only by `rollout next`.")], False),
    "stop_at": (
        Annotated[
            str, typer.Option("--stop-at", metavar="SHARE|N", help="Stop when so many failed, of those that began.")
        ],
        "",
    ),
    "stop_at_site": (
        Annotated[
            str,
            typer.Option(
                "--stop-at-site",
                metavar="SHARE|N|off",
                help="And each gateway by itself, of those below it; as --stop-at when it is not said.",
            ),
        ],
        "",
    ),
    "note": (Annotated[str, typer.Option("--note", help="Why; shown with its jobs.")], ""),
    "expires": (Expires, "30d"),
}
_WHO = {name: option for name, option in TARGETS.items() if name != "once"}


@app.command(epilog=_START)
@taking(
    {
        "on": (OnEndpoints, []),
        **_WHO,
        **_OWN,
        "json": (Json, False),
        **OF_TRANSFER,
        **OF_INSTALLATION,
        **OF_OWNER,
        **OF_REPLACING,
        **JOB,
    }
)
def start(package: Package, **given: Any) -> None:
    """Install a package in waves: the next one begins when the one before went well."""

    async def work() -> None:
        found: dict[str, Any] = await ask(
            "rollout.start",
            package=package,
            **targets_of({**given, "once": False}),
            waves=given["wave"],
            go_on=given["go_on"],
            soak_s=seconds_of(given["soak"], "--soak") if given["soak"] else 0,
            by_hand=given["by_hand"],
            stop_at=given["stop_at"],
            stop_at_site=given["stop_at_site"],
            note=given["note"],
            expires_s=seconds_of(given["expires"], "--expires"),
            options=terms_of(given).options | times_of(given) | provisos_of(given),
        )
        if given["json"]:
            emit({"dry_run": found} if given["dry_run"] else found)
        elif given["dry_run"]:
            _print_dry_run(found)
        else:
            sizes = found["waves"]
            print(f"Rollout {found['rollout']}: {package} on {words.count(sum(sizes), 'node')}", end=" ")
            print(f"in {words.count(len(sizes), 'wave')} ({', '.join(map(str, sizes))}); the first has begun.")
            print(f"Look at it: tiercast rollout show {found['rollout']}")

    run(work, as_json=given["json"])


@app.command("list")
def list_(
    *, limit: Annotated[int, typer.Option("--limit", help="The newest so many.")] = 50, json: Json = False
) -> None:
    """List rollouts, the newest first."""

    async def work() -> None:
        found: list[dict[str, Any]] = await ask("rollout.list", limit=limit)
        if json:
            emit({"rollouts": found})
            return
        if found and "node" in found[0]:  # a gateway's: it knows the breaker, not the waves
            here = [(one["rollout"], one["state"], f"{one['bad']} of {one['total']}", one["stop_at"]) for one in found]
            print(words.table(("rollout", "state here", "failed", "stops at"), here))
            return
        rows = [
            (one["rollout"], words.subject(one), one["state"], f"{one['begun']} of {one['waves']}", one["by"])
            for one in found
        ]
        print(words.table(("rollout", "package", "state", "waves", "by"), rows))

    run(work, as_json=json)


@app.command()
def show(rollout: Rollout, *, json: Json = False) -> None:
    """Show a rollout: its waves, why the next one waits, and who failed."""

    async def work() -> None:
        found: dict[str, Any] = await ask("rollout.show", rollout=rollout)
        if json:
            emit({"rollout": found})
        elif "node" in found:
            _print_here(found)
        else:
            _print(found)

    run(work, as_json=json)


def _word(verb: str, rollout: str, *, json: bool) -> None:
    async def work() -> None:
        found: dict[str, Any] = await ask(f"rollout.{verb}", rollout=rollout)
        if json:
            emit(found)
            return
        if "node" in found:
            _print_here(found)
            return
        begun = f"; begun now: {', '.join(found['jobs'])}" if found["jobs"] else ""
        print(f"Rollout {found['rollout']} is {found['state']}{begun}.")
        if found["said"]:
            print(f"{found['said']}")

    run(work, as_json=json)


@app.command("next")
def next_(rollout: Rollout, *, json: Json = False) -> None:
    """Begin the next wave, whatever its gate says; a breaker that is open stays so."""
    _word("next", rollout, json=json)


@app.command()
def pause(rollout: Rollout, *, json: Json = False) -> None:
    """Begin no further wave until it is resumed; waves that run go on."""
    _word("pause", rollout, json=json)


@app.command()
def resume(rollout: Rollout, *, json: Json = False) -> None:
    """Let a paused rollout go on, and have gateways that held it hand it out again; also at a gateway's own socket."""
    _word("resume", rollout, json=json)


@app.command()
def cancel(rollout: Rollout, *, json: Json = False) -> None:
    """End a rollout: no further wave, and the jobs of the others are cancelled where they have not begun."""
    _word("cancel", rollout, json=json)


@app.command()
def undo(
    rollout: Rollout,
    *,
    go_on: Annotated[
        str, typer.Option("--go-on", metavar="SHARE", help="The next wave begins when so much of one is back.")
    ] = "0%",
    expires: Expires = "30d",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would come back.")] = False,
    json: Json = False,
) -> None:
    """Take an ended rollout back, the last wave first: the former version again, or none where there was none."""

    async def work() -> None:
        found: dict[str, Any] = await ask(
            "rollout.undo",
            rollout=rollout,
            go_on=go_on,
            expires_s=seconds_of(expires, "--expires"),
            dry_run=dry_run,
        )
        if json:
            emit({"dry_run": found} if dry_run else found)
            return
        rows = [(wave["wave"], wave["text"], wave["targets"], _formers(wave["formers"])) for wave in found["waves"]]
        print(words.table(("wave", "takes back", "targets", "to"), rows))
        if left := found["same"] + found["moved_on"]:
            print(f"{left} stay as they are: {found['same']} had it before, {found['moved_on']} have another by now.")
        if dry_run:
            print("Nothing was ordered.")
        else:
            print(f"Rollout {found['rollout']} takes {found['undoes']} back.")

    run(work, as_json=json)


def _formers(formers: dict[str, int]) -> str:
    return ", ".join(f"{version or 'none'}: {count}" for version, count in sorted(formers.items()))


def _print_dry_run(found: dict[str, Any]) -> None:
    waves = found["waves"]
    print(f"{words.count(found['targets'], 'target')} in {words.count(len(waves), 'wave')}; nothing was ordered.")
    rows = []
    for wave in waves:
        names = [name for site in wave["sites"] for name in site["nodes"]]
        more = f", and {len(names) - _SHOWN} more (--json shows all)" if len(names) > _SHOWN else ""
        rows.append((wave["wave"], wave["text"], wave["targets"], len(wave["sites"]), ", ".join(names[:_SHOWN]) + more))
    print(words.table(("wave", "asked", "targets", "sites", "nodes"), rows))
    print_foreseen(found)
    print_unknown(found["unknown"])
    if found["confirm"]:
        print(f"So many must be confirmed: --confirm={found['targets']}")


def _print_here(found: dict[str, Any]) -> None:
    """As a gateway knows it."""
    stop = found["stop_at"] or "never"
    print(f"{found['rollout']} below {found['node']}: {found['state']}", end="; ")
    print(f"{found['bad']} of {found['total']} failed, it stops at {stop}.")
    for one in found["held"]:
        print(f"held at {one['node']} since {words.moment(one['since'])}: {one['have']} failed there", end=", ")
        print(f"it stops at {one['stop_at']}")


def _print(found: dict[str, Any]) -> None:
    rules = found["rules"]
    kind = f"undo of {found['undoes']}" if found["undoes"] else words.subject(found)
    said = f": {found['said']}" if found["said"] else ""
    print(f"{found['rollout']}: {kind}, {found['state']}{said}")
    soak = f", then {words.span(rules['soak_s'])}" if rules["soak_s"] else ""
    hand = ", then by hand" if rules["by_hand"] else ""
    stop = f"; stops at {rules['stop_at']} failed" if rules["stop_at"] else "; never stops by itself"
    print(f"goes on when {rules['go_on']} of a wave are done{soak}{hand}{stop}")
    rows = [
        (wave["wave"], wave["text"], wave["targets"], wave["state"], _counts(wave["counts"]), ", ".join(wave["jobs"]))
        for wave in found["waves"]
    ]
    print(words.table(("wave", "asked", "targets", "state", "of these", "jobs"), rows))
    if gate := found["gate"]:
        print(f"{gate['code']}: {gate['says']}")
        print(f"   freed when {gate['freed']}")
        print(f"   you can: {gate['todo']}")
    for one in found["held"]:
        figures = f"{one['bad']} of {one['total']} failed there, it stops at {one['stop_at']}"
        print(f"held at {one['node']} since {words.moment(one['since'])}: {figures}")
    failed = found["failed"]
    if failed:
        who = [(one["node"], one["wave"], one["state"], one["code"], one["detail"]) for one in failed[:_FAILED]]
        print(words.table(("failed", "wave", "state", "code", "detail"), who))
        if len(failed) > _FAILED:
            print("--json shows more of them.")


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{state} {count}" for state, count in sorted(counts.items()))
