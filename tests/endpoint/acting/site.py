"""A machine's files as a test sees them, and actions written in short."""

from __future__ import annotations

import os
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tiercast_endpoint.acting.engine import Done, Engine
from tiercast_endpoint.acting.native import Tools
from tiercast_endpoint.acting.prefix import Prefix
from tiercast_endpoint.jobs.journal import Job
from tiercast_endpoint.schema import SCHEMA
from tiercast_protocol.content.package.actiontypes import Action
from tiercast_protocol.content.package.definition import parse_definition
from tiercast_protocol.content.package.handler import Handler
from tiercast_protocol.node.database import Database

Snapshot = dict[str, tuple[object, ...]]


def snapshot(top: Path, *, times: bool = True) -> Snapshot:
    """Every path with its kind, mode, owner and content; of files, too, when they were written."""
    found: Snapshot = {}
    for folder, names, files in os.walk(top):
        for name in names + files:
            path = Path(folder) / name
            here = path.lstat()
            what: object = None
            if path.is_symlink():
                what = str(path.readlink())
            elif path.is_file():
                what = (path.read_bytes(), here.st_mtime_ns if times else 0)
            kind, mode = stat.S_IFMT(here.st_mode), stat.S_IMODE(here.st_mode)
            found[str(path.relative_to(top))] = (kind, mode, here.st_uid, here.st_gid, what)
    return found


def act(kind: str, **said: Any) -> Action:
    """An action, read as a definition's is."""
    lines = [f"{key} = {_toml(value)}" for key, value in said.items()]
    text = "\n".join(['name = "x"', 'version = "1"', "allow_setuid = true", "[[action]]", f'type = "{kind}"', *lines])
    return parse_definition(text).action[0]


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f'"{key}" = {_toml(one)}' for key, one in value.items()) + " }"
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    return str(value).lower() if isinstance(value, bool) else repr(value).replace("'", '"')


class Lab:
    """An engine over folders of a test, without jobs around it: `tree` is what every version's sources lie in."""

    def __init__(self, folder: Path, db: Database, tools: Tools | None = None, top: Path | None = None) -> None:
        self.folder, self.db, self.tools = folder, db, tools
        self.top, self.keep = top or folder / "prefix", folder / "kept"
        self.handlers: dict[str, Handler] = {}
        self.top.mkdir(exist_ok=True)
        self.new()

    def new(self) -> None:
        """Another life of the agent."""
        self.prefix = Prefix(self.top)
        self.engine = Engine(db=self.db, prefix=self.prefix, keep=self.keep, trees=self, tools=self.tools)

    def place(self, tree: str) -> Path:
        return self.folder / "trees" / tree

    def link(self, package: str) -> Path:
        return self.folder / "root" / package

    async def handler(self, package: str) -> tuple[Handler, Path]:
        return self.handlers[package], self.place(package)

    def files(self, tree: str, files: dict[str, bytes]) -> None:
        for path, data in files.items():
            file = self.place(tree) / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
            file.chmod(0o755 if path.endswith(".sh") else 0o644)

    def job(self, n: int, tree: str, package: str = "app") -> Job:
        return Job(f"j{n}", 1, "install", package, "1", 1, b"", 0, 0, "", "", 0, n=n, tree=tree)

    async def apply(self, n: int, tree: str, *actions: Action, package: str = "app") -> Done:
        done = Done()
        await self.engine.apply(self.job(n, tree, package), actions, done)
        return done

    async def revert(self, n: int, tree: str, package: str = "app") -> Done:
        done = Done()
        failed = await self.engine.revert(self.job(n, tree, package), done)
        assert failed == []
        return done

    async def accept(self, n: int, package: str = "app") -> None:
        await self.engine.accept(self.job(n, "", package))

    async def settled(self, n: int, tree: str, *actions: Action, package: str = "app") -> Done:
        done = await self.apply(n, tree, *actions, package=package)
        await self.accept(n, package)
        return done


@asynccontextmanager
async def lab(folder: Path, tools: Tools | None = None, top: Path | None = None) -> AsyncIterator[Lab]:
    """An engine with a database of its own; `top` is its prefix."""
    async with Database.open(folder / "db", SCHEMA, readers=0) as db:
        yield Lab(folder, db, tools, top)
