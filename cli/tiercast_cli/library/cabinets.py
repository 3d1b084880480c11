"""`tiercast cabinet ...`: named views over the packages of the library."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from tiercast_cli.said.options import Cabinet, Json
from tiercast_cli.shown import words
from tiercast_cli.talk.session import ask, emit, run

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Named views over the packages.")


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="What the cabinet is called.")],
    *,
    note: Annotated[str, typer.Option("--note", help="What it is for.")] = "",
    json: Json = False,
) -> None:
    """Make a cabinet."""

    async def work() -> None:
        result = await ask("cabinet.add", name=name, note=note)
        emit(result or {}) if json else print(f"Cabinet {name} is there.")

    run(work, as_json=json)


@app.command("list")
def list_(*, json: Json = False) -> None:
    """List all cabinets."""

    async def work() -> None:
        cabinets: list[dict[str, Any]] = await ask("cabinet.list")
        if json:
            emit({"cabinets": cabinets})
            return
        rows = [(c["name"], c.get("packages", 0), c.get("note", "")) for c in cabinets]
        print(words.table(("name", "packages", "note"), rows))

    run(work, as_json=json)


@app.command()
def show(name: Cabinet, *, json: Json = False) -> None:
    """Show what stands in a cabinet."""

    async def work() -> None:
        cabinet: dict[str, Any] = await ask("cabinet.show", name=name)
        if json:
            emit({"cabinet": cabinet})
            return
        rows = [(p["name"], p["version"], words.size(p.get("size") or 0)) for p in cabinet["packages"]]
        print(words.table(("package", "version", "size"), rows))
        for word in ("readers", "writers"):
            if cabinet.get(word):
                print(f"{word}: {', '.join(cabinet[word])}")

    run(work, as_json=json)


@app.command()
def rename(
    name: Cabinet,
    new: Annotated[str, typer.Argument(metavar="NEW", help="What it is to be called.")],
    *,
    json: Json = False,
) -> None:
    """Give a cabinet another name; what is in it stays."""

    async def work() -> None:
        result = await ask("cabinet.rename", name=name, new=new)
        emit(result or {}) if json else print(f"Cabinet {name} is called {new}.")

    run(work, as_json=json)


@app.command()
def delete(
    name: Cabinet,
    *,
    into: Annotated[str, typer.Option("--into", metavar="CABINET", help="Where what is in it goes first.")] = "",
    json: Json = False,
) -> None:
    """Delete an empty cabinet, or one whose packages go into another one."""

    async def work() -> None:
        result = await ask("cabinet.delete", name=name, **({"into": into} if into else {}))
        emit(result or {}) if json else print(f"Cabinet {name} is gone.")

    run(work, as_json=json)


@app.command()
def rights(
    name: Cabinet,
    *,
    reader: Annotated[list[str], typer.Option("--reader", metavar="USER", help="May see and order; several.")] = [],  # noqa: B006
    writer: Annotated[list[str], typer.Option("--writer", metavar="USER", help="May change it; several.")] = [],  # noqa: B006
    anybody: Annotated[bool, typer.Option("--anybody", help="No names: whoever has the role for a verb.")] = False,
    json: Json = False,
) -> None:
    """Name who may look into a cabinet and who may change it; what is not named is for everybody."""

    async def work() -> None:
        from tiercast_protocol.errors import UsageError  # noqa: PLC0415 - late

        if anybody == bool(reader or writer):
            raise UsageError("rights.missing", "nobody is named", "", "Name --reader and --writer, or say --anybody.")
        result: dict[str, Any] = await ask("cabinet.rights", name=name, readers=reader, writers=writer)
        if json:
            emit(result)
            return
        for word in ("readers", "writers"):
            print(f"{word}: {', '.join(result[word]) or 'everybody'}")

    run(work, as_json=json)
