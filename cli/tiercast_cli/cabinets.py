"""`tiercast cabinet ...`: named views over the packages of the library."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from tiercast_cli import words
from tiercast_cli.options import Cabinet, Json
from tiercast_cli.session import ask, emit, run

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

    run(work, as_json=json)


@app.command()
def delete(name: Cabinet, *, json: Json = False) -> None:
    """Delete an empty cabinet."""

    async def work() -> None:
        result = await ask("cabinet.delete", name=name)
        emit(result or {}) if json else print(f"Cabinet {name} is gone.")

    run(work, as_json=json)
