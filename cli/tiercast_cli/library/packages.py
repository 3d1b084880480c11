"""`tiercast package ...`: build packages out of folders, and look into the library."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Any

import typer

from tiercast_cli.library import definitions, testing
from tiercast_cli.said.options import InCabinet, Json, OnEndpoints, Package
from tiercast_cli.shown import words
from tiercast_cli.shown.takes import print_takes
from tiercast_cli.talk.session import ask, connected, emit, run

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Packages of the library.")
definitions.add(app)
testing.add(app)

#: Pause between two looks of `--wait`.
_LOOK_AGAIN_S = 0.3

_BUILD = """\b
Examples:
  tiercast package build ./hello --name hello --version 1.0
  tiercast package build ./dist/editor -f package.toml --cabinet desktop
"""


@app.command(epilog=_BUILD)
def build(
    folder: Annotated[Path, typer.Argument(help="The tree to package.")],
    *,
    definition: Annotated[
        Path | None,
        typer.Option("--definition", "-f", help="A package.toml; without it --name and --version say enough."),
    ] = None,
    name: Annotated[str, typer.Option("--name", help="Overrides the definition's name.")] = "",
    version: Annotated[str, typer.Option("--version", help="Overrides the definition's version.")] = "",
    revision: Annotated[int, typer.Option("--revision", help="Overrides the definition's revision.")] = 0,
    cabinet: InCabinet = "main",
    json: Json = False,
) -> None:
    """Seal a folder into a package and register it; only chunks that the server lacks are sent."""

    async def work() -> None:
        from tiercast_cli.packager.send import build_package, load_definition  # noqa: PLC0415 - heavy, late

        wanted = load_definition(definition, folder, name=name, version=version, revision=revision)
        async with connected() as client:
            made = await build_package(client, folder, wanted, cabinet=cabinet, show=not json)
        if json:
            emit({"package": made})
            return
        word = "registered" if made["created"] else "was there already, the same to the last byte"
        print(f"Package {made['package']} {made['version']} {word}.")
        print(
            f"{words.count(made['files'], 'file')}, {words.size(made['size'])}; "
            f"{words.count(made['chunks'], 'chunk')}, {words.size(made['stored_bytes'])} compressed;"
            f" {words.count(made['sent_chunks'], 'chunk')} ({words.size(made['sent_bytes'])}) sent."
        )

    run(
        work,
        as_json=json,
        on_interrupt=lambda: "Interrupted.  Nothing is registered; the same command again goes on from here.",
    )


@app.command()
def entry(
    name: Annotated[str, typer.Argument(help="The package's name.")],
    version: Annotated[str, typer.Argument(help="The package's version.")],
    *,
    cabinet: InCabinet = "main",
    json: Json = False,
) -> None:
    """Make the entry of a package before its content is there."""

    async def work() -> None:
        result = await ask("package.entry", name=name, version=version, cabinet=cabinet)
        if json:
            emit(result or {})
        elif (result or {}).get("created", True):
            print(f"Entry {name} {version} waits for its content.")
        else:
            print(f"There is a {name} {version} already; nothing was changed.")

    run(work, as_json=json)


@app.command("list")
def list_(*, cabinet: InCabinet = "", json: Json = False) -> None:
    """List the packages of the library, or of one cabinet."""

    async def work() -> None:
        packages: list[dict[str, Any]] = await (
            ask("package.list", cabinet=cabinet) if cabinet else ask("package.list")
        )
        if json:
            emit({"packages": packages})
            return
        rows = [
            (
                p["package"],
                p["version"],
                p["revision"],
                p["cabinet"],
                p["files"],
                words.size(p["size"]),
                words.size(p["stored_bytes"]),
            )
            for p in packages
        ]
        print(words.table(("package", "version", "rev", "cabinet", "files", "size", "compressed"), rows))

    run(work, as_json=json)


_SHOW = """\b
Examples:
  tiercast package show editor=2.1
  tiercast package show editor --on pc-17 --on pc-18
"""


@app.command(epilog=_SHOW)
def show(package: Package, *, on: OnEndpoints = [], json: Json = False) -> None:  # noqa: B006 - typer copies it
    """Show one package: its definition, its digest, what it weighs; --on: what a machine would take of it."""

    async def work() -> None:
        if on:
            rows: list[dict[str, Any]] = await ask("package.values", package=package, nodes=on)
            emit({"values": rows}) if json else print_takes(rows)
            return
        found: dict[str, Any] = await ask("package.show", package=package)
        if json:
            emit({"package": found})
            return
        for key, value in found.items():
            if key != "definition":
                print(f"{key:>14}  {_shown(key, value)}")
        if found.get("definition"):
            print(f"\n{found['definition']}")

    run(work, as_json=json)


_PATCHES = """\b
Examples:
  tiercast package patches editor
  tiercast package patches editor=2.1 --make 1.9 --wait
"""


@app.command(epilog=_PATCHES)
def patches(
    package: Package,
    *,
    make: Annotated[str, typer.Option("--make", metavar="FROM", help="Have one made from this version.")] = "",
    wait: Annotated[bool, typer.Option("--wait", help="Until none is waiting or being made.")] = False,
    json: Json = False,
) -> None:
    """List the patches that lead to a package; the server makes them by itself, or from the version you name."""

    async def work() -> None:
        if make:
            await ask("package.patch", package=package, **{"from": make})
        while True:
            found: list[dict[str, Any]] = await ask("package.patches", package=package)
            if not wait or all(row["state"] not in {"waiting", "making"} for row in found):
                break
            await asyncio.sleep(_LOOK_AGAIN_S)
        if json:
            emit({"patches": found})
        else:
            print(words.table(("from", "to", "state", "size", "of chunks", "seconds", "memory"), map(_patch, found)))
            for row in found:
                if row["detail"]:
                    print(f"{row['from']} to {row['to']}: {row['detail']}")
        if wait and any(row["state"] == "failed" for row in found):
            raise typer.Exit(1)

    run(work, as_json=json)


def _patch(row: dict[str, Any]) -> tuple[object, ...]:
    sizes = (words.size(row["bytes"]), words.size(row["chunk_bytes"])) if row["bytes"] else ("", "")
    memory = words.size(row["memory"]) if row["memory"] else ""
    return (row["from"], row["to"], row["state"], *sizes, f"{row['seconds']:.1f}", memory)


@app.command()
def move(
    packages: Annotated[list[str], typer.Argument(metavar="PACKAGE...", help="NAME (all versions) or NAME=VERSION.")],
    *,
    cabinet: Annotated[str, typer.Option("--into", metavar="CABINET", help="Where they go.")],
    json: Json = False,
) -> None:
    """Put packages into another cabinet; no content moves."""

    async def work() -> None:
        result: dict[str, Any] = await ask("package.move", packages=packages, cabinet=cabinet)
        if json:
            emit(result)
        else:
            print(f"{', '.join(result['packages'])} in the cabinet {cabinet}.")

    run(work, as_json=json)


@app.command()
def delete(package: Package, *, json: Json = False) -> None:
    """Delete a package from the library; refused while an open job needs it."""

    async def work() -> None:
        result = await ask("package.delete", package=package)
        emit(result or {}) if json else print(f"{package} is deleted.")

    run(work, as_json=json)


def _shown(key: str, value: Any) -> str:
    if key == "tested":
        by = f"by {value['by']}, {words.moment(value['at'])}"
        return f"on {value['node']} {by}: {value['job']} installed it, {value['undo']} took it back"
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, int) and not isinstance(value, bool):
        if key in {"size", "stored_bytes"}:
            return f"{value} ({words.size(value)})"
        if key.endswith(("_at", "registered", "sealed_at")):
            return words.moment(value)
    if isinstance(value, list):
        return ", ".join(str(one) for one in value)
    return str(value)
