"""`tiercast depot ...`: what a tier holds, and what it may drop."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from tiercast_cli.said.durations import rate_of, seconds_of, size_of
from tiercast_cli.said.options import At, InPackage, Json, Package
from tiercast_cli.shown import audits, words
from tiercast_cli.talk.session import ask, connected, emit, run

#: Seconds between two looks at an audit, and looks at what is missing after it.
LOOK_SECONDS = 0.5
PATIENCE = 40
#: Damaged chunks that are named.
SHOWN = 10

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="What gateways and server hold.")


@app.command()
def show(*, node: At = "", json: Json = False) -> None:
    """Show how full a depot is, and which packages lie in it."""

    async def work() -> None:
        depot: dict[str, Any] = await ask("depot.show", node=node)
        if json:
            emit({"depot": depot})
            return
        quota = f" of {words.size(depot['quota'])}" if depot.get("quota") else ""
        free = words.size(depot.get("free", 0))
        print(
            f"{words.size(depot['bytes'])}{quota} in {words.count(depot['chunks'], 'chunk')}; {free} free on the disk"
        )
        for reason, count in sorted(depot.get("refused", {}).items()):
            print(f"full: {words.size(count)} stay because of {reason}")
        packages = depot.get("packages", [])
        if packages:
            rows = [
                (
                    p["name"],
                    p["version"],
                    words.share(p.get("held", 0), p.get("total", 0)),
                    ", ".join(filter(None, ("pinned" if p.get("pinned") else "", _kept(p.get("keep_until", 0))))),
                )
                for p in packages
            ]
            print(words.table(("package", "version", "held", ""), rows))
        if "audit" in depot:
            print("\n".join(audits.lines(depot["audit"])))

    run(work, as_json=json)


def _but(held: dict[str, Any]) -> str:
    """What else keeps a package that is let go."""
    if held.get("pinned"):
        return " when its pin is gone: depot unpin"
    kept = _kept(held.get("keep_until", 0))
    return f" after that: it is {kept}" if kept else ""


def _kept(until: int) -> str:
    return f"kept until {words.moment(until)}" if until > time.time() * 1000 else ""


@app.command()
def pin(package: Package, *, node: At = "", json: Json = False) -> None:
    """Keep a package in a depot whatever the quota says."""
    _act("depot.pin", f"{package} stays", json=json, package=package, node=node)


@app.command()
def unpin(package: Package, *, node: At = "", json: Json = False) -> None:
    """Let a depot drop a package when it needs the room."""
    _act("depot.unpin", f"{package} may go", json=json, package=package, node=node)


@app.command()
def keep(
    package: Package,
    *,
    for_: Annotated[str, typer.Option("--for", metavar="TIME", help="12h, 30d; 0 ends it.")],
    node: At = "",
    json: Json = False,
) -> None:
    """Keep a package in a depot for a time, whatever the quota says."""

    async def work() -> None:
        seconds = 0 if for_ == "0" else seconds_of(for_, "--for")
        result = await ask("depot.keep", package=package, seconds=seconds, node=node)
        done = f"{package} stays for {for_}" if seconds else f"{package} may go{_but(result or {})}"
        emit(result or {}) if json else print(f"{done}.")

    run(work, as_json=json)


@app.command()
def evict(
    *,
    size: Annotated[
        str, typer.Option("--bytes", metavar="SIZE", help="Stop after so much; all of it by default.")
    ] = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would go, and what keeps the rest.")
    ] = False,
    node: At = "",
    json: Json = False,
) -> None:
    """Drop what no open job, pin, child or running read relies on."""

    async def work() -> None:
        most = size_of(size, "--bytes") if size else 0
        result: dict[str, Any] = await ask("depot.evict", node=node, bytes=most, dry_run=dry_run)
        if json:
            emit(result)
            return
        would = "would be " if dry_run else ""
        print(f"{words.size(result.get('freed', 0))} in {words.count(result.get('chunks', 0), 'chunk')} {would}freed.")
        for name in result.get("packages", []):
            print(f"  {name}")
        for reason, count in sorted(result.get("kept", {}).items()):
            print(f"{words.size(count)} stay: {reason}.")

    run(work, as_json=json)


@app.command()
def audit(
    *,
    package: InPackage = "",
    repair: Annotated[bool, typer.Option(help="Whether what is damaged is brought back.")] = True,
    rate: Annotated[str, typer.Option("--rate", help="20MB/s, 512KiB/s; its own pace by default.")] = "",
    watch: Annotated[bool, typer.Option("--watch", help="Show progress until all is proved.")] = False,
    node: At = "",
    json: Json = False,
) -> None:
    """Prove every chunk of a depot, and bring back those that are damaged or lost."""

    async def work() -> None:
        pace = rate_of(rate, "--rate") if rate else 0
        asked: dict[str, Any] = await ask("depot.audit", node=node, package=package, rate=pace, repair=repair)
        found = await _followed(node, asked, show=not json) if watch else asked
        if json:
            emit({"audit": found})
            return
        print("\n".join(audits.lines(found)))
        if not watch:
            print("Look again with: tiercast depot show" + (f" --node {node}" if node else ""))

    run(work, as_json=json)


async def _followed(node: str, found: dict[str, Any], *, show: bool) -> dict[str, Any]:
    """Wait until the ordered round ended, and what it found is mended or can't be just now."""
    quiet = 0
    while found["running"] == "ordered" or (sum(found["missing"].values()) and quiet < PATIENCE):
        quiet = quiet + 1 if found["running"] != "ordered" else 0
        if show and sys.stderr.isatty():
            print(f"\r\x1b[K{audits.lines(found)[0]}", end="", file=sys.stderr, flush=True)
        await asyncio.sleep(LOOK_SECONDS)
        found = (await ask("depot.show", node=node))["audit"]
    if show and sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)
    return found


@app.command()
def export(
    package: Package,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="An empty folder, or one with earlier exports.")],
    *,
    node: At = "",
    json: Json = False,
) -> None:
    """Write a package to media, for a depot that a link is too thin for."""

    async def work() -> None:
        from tiercast_cli.library import seeding  # noqa: PLC0415 - heavy, late

        async with connected() as client:
            made = await seeding.export(client, package, folder, node=node, tell=_teller("written", quiet=json))
        if json:
            emit({"export": made})
            return
        already = f" ({made['chunks'] - made['written']} were there)" if made["written"] < made["chunks"] else ""
        print(f"{made['package']}={made['version']}: {words.count(made['chunks'], 'chunk')} in {folder}{already}.")
        print(f"On the gateway's machine: tiercast --socket SOCKET depot seed {folder}")

    run(work, as_json=json)


@app.command()
def seed(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="What 'depot export' wrote.")],
    *,
    node: At = "",
    json: Json = False,
) -> None:
    """Fill the depot of the daemon at this socket from media; nothing on it needs to be trusted."""

    async def work() -> None:
        from tiercast_cli.library import seeding  # noqa: PLC0415 - heavy, late
        from tiercast_protocol.errors import UsageError  # noqa: PLC0415 - heavy, late

        async with connected() as client:
            here = (await client.call("status"))["name"]
            if node not in {"", here}:
                raise UsageError(
                    "seed.remote",
                    f"The daemon at this socket is {here!r}; over the link to {node!r} media would spare nothing",
                    todo=f"Run it on {node}'s machine: tiercast --socket .../gateway/control.sock depot seed {folder}",
                )
            made = await seeding.seed(client, folder, tell=_teller("seeded", quiet=json))
        if json:
            emit({"seed": made})
        else:
            _print_seeded(made)
        if made["damaged"] or any(p.get("error") or p.get("lacking") for p in made["packages"]):
            raise typer.Exit(1)

    run(work, as_json=json)


def _print_seeded(made: dict[str, Any]) -> None:
    new = words.of_which(made["sent"], made["chunks"], "chunk", "was", "were")
    print(f"{new} new here ({words.size(made['bytes'])}).")
    for package in made["packages"]:
        state = package.get("error") or (
            f"{words.count(package['lacking'], 'chunk')} lacking" if package.get("lacking") else "whole"
        )
        print(f"  {package['package']}={package['version']}: {state}")
    for damaged in made["damaged"][:SHOWN]:
        print(f"damaged on the media: {damaged}", file=sys.stderr)
    if len(made["damaged"]) > SHOWN:
        print(f"... and {len(made['damaged']) - SHOWN} more", file=sys.stderr)


def _teller(word: str, *, quiet: bool) -> Callable[[int, int], None]:
    show = not quiet and sys.stderr.isatty()

    def tell(done: int, total: int) -> None:
        if show:
            end = "" if done < total else "\r\x1b[K"
            print(f"\r\x1b[K{word} {words.share(done, max(total, 1))} of {total} chunks", end=end, file=sys.stderr)

    return tell


@app.command()
def who(
    package: Package,
    *,
    within: Annotated[str, typer.Option("--within", metavar="TIME", help="How long to wait for answers.")] = "5s",
    json: Json = False,
) -> None:
    """Show who holds how much of a package, on all tiers."""

    async def work() -> None:
        found: dict[str, Any] = await ask("depot.who", package=package, seconds=seconds_of(within, "--within"))
        if json:
            emit({"who": found})
            return
        chunks = words.count(found["chunks"], "chunk")
        print(f"{found['package']}={found['version']}: {chunks}, {words.size(found['bytes'])}")
        rows = [(n["name"], n["role"], n["parent"] or "-", *_held(n, found["chunks"])) for n in found["nodes"]]
        print(words.table(("node", "role", "parent", "chunks", "bytes", ""), rows))

    run(work, as_json=json)


def _held(node: dict[str, Any], total: int) -> tuple[str, str, str]:
    """Chunks, bytes and a remark of one node's row."""
    if node["state"] == "answered":
        return f"{node['chunks']}/{total}", words.size(node["bytes"]), "installed" if node["installed"] else ""
    if "last_at" not in node:
        return "-", "-", node["state"]
    share = words.share(node["last_done"], node["last_total"]) if node["last_total"] else "-"
    return "-", "-", f"{node['state']}; {node['last_state']} {share} at {words.moment(node['last_at'])}"


def _act(verb: str, done: str, *, json: bool, **args: object) -> None:
    async def work() -> None:
        result = await ask(verb, **args)
        emit(result or {}) if json else print(f"{done}{_but(result or {}) if verb == 'depot.unpin' else ''}.")

    run(work, as_json=json)
