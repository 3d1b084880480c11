"""`tiercast depot ...`: what a tier holds, and what it may drop."""

from __future__ import annotations

from typing import Any

import typer

from tiercast_cli import words
from tiercast_cli.options import At, Json, Package
from tiercast_cli.session import ask, emit, run

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
        print(f"{words.size(depot['bytes'])}{quota} in {depot['chunks']} chunks; {free} free on the disk")
        packages = depot.get("packages", [])
        if packages:
            rows = [
                (
                    p["name"],
                    p["version"],
                    words.share(p.get("held", 0), p.get("total", 0)),
                    "pinned" if p.get("pinned") else "",
                )
                for p in packages
            ]
            print(words.table(("package", "version", "held", ""), rows))

    run(work, as_json=json)


@app.command()
def pin(package: Package, *, node: At = "", json: Json = False) -> None:
    """Keep a package in a depot whatever the quota says."""
    _act("depot.pin", f"{package} stays", json=json, package=package, node=node)


@app.command()
def unpin(package: Package, *, node: At = "", json: Json = False) -> None:
    """Let a depot drop a package when it needs the room."""
    _act("depot.unpin", f"{package} may go", json=json, package=package, node=node)


@app.command()
def evict(*, node: At = "", json: Json = False) -> None:
    """Drop all that no open job, pin or running read needs."""

    async def work() -> None:
        result: dict[str, Any] = await ask("depot.evict", node=node)
        emit(result) if json else print(f"{words.size(result.get('freed', 0))} freed.")

    run(work, as_json=json)


def _act(verb: str, done: str, *, json: bool, **args: object) -> None:
    async def work() -> None:
        result = await ask(verb, **args)
        emit(result or {}) if json else print(f"{done}.")

    run(work, as_json=json)
