"""One run of the command line: the socket it speaks to, how it prints, how it fails.

Rules
- Every command runs through `run`: one place turns errors into a text for people and an exit code.
- With `--json` the answer is one line with the version of its shape, and so is an error.
- Nothing heavy is imported before it is needed: `tiercast --help` answers in a tenth of a second.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from tiercast_cli.talk.exitcodes import ExitCode, exit_code_of

if TYPE_CHECKING:
    from tiercast_protocol.errors import UsageError

T = TypeVar("T")

#: Version of the shapes that `--json` prints; a field may be added under the same number.
SCHEMA = 1


@dataclass(slots=True)
class Session:
    """What the options before the noun set, and whether the command stands below `job draft`.

    Where `collected` is a list, commands that make jobs put what they would ask into it and ask nothing.
    """

    socket: str = ""
    host: str = ""
    #: Where the socket of the host is carried to, while a command runs.
    carried: str = ""
    drafting: bool = False
    collected: list[dict[str, Any]] | None = None

    @property
    def path(self) -> Path:
        """The control socket: carried from a host, option, environment, or the server's usual place."""
        if self.carried:
            return Path(self.carried)
        if self.socket or os.environ.get("TIERCAST_SOCKET"):
            return _short(Path(self.socket or os.environ["TIERCAST_SOCKET"]))
        from tiercast_protocol.node import places  # noqa: PLC0415 - late, see the rules

        return places.place("server").socket

    @property
    def folder(self) -> Path:
        """The state folder of the daemon, as far as the socket's place tells."""
        if self.carried:
            return Path(self.carried).parent
        if self.socket or os.environ.get("TIERCAST_SOCKET"):
            return Path(self.socket or os.environ["TIERCAST_SOCKET"]).parent
        from tiercast_protocol.node import places  # noqa: PLC0415 - late, see the rules

        return places.place("server").folder


def _short(path: Path) -> Path:
    """Where the daemon put a socket whose plain path the kernel would not take."""
    from tiercast_protocol.node import places  # noqa: PLC0415 - late, see the rules

    return path if path.exists() else places.socket_path(path.parent.absolute(), path.name)


#: The session of this process; a command line has only one.
session = Session()


@asynccontextmanager
async def connected() -> AsyncIterator[Any]:
    """A client of the daemon's control socket; a daemon that is starting is waited for."""
    from tiercast_cli.talk import starting  # noqa: PLC0415 - late, see the rules
    from tiercast_protocol.node.control.client import connect  # noqa: PLC0415 - late, see the rules

    await starting.wait_for(session.path, session.folder)
    async with connect(session.path) as client:
        yield client


@asynccontextmanager
async def _carried() -> AsyncIterator[None]:
    """With the socket of another machine, where one was named and something is asked there."""
    if not session.host or session.collected is not None:
        yield
        return
    from tiercast_cli.talk import hosts  # noqa: PLC0415 - late, see the rules

    async with hosts.carried(hosts.parse(session.host)) as path:
        session.carried = str(path)
        try:
            yield
        finally:
            session.carried = ""


async def ask(verb: str, **args: object) -> Any:
    """One call, one answer."""
    async with connected() as client:
        return await client.call(verb, **args)


def run(work: Callable[[], Awaitable[T]], *, as_json: bool = False, on_interrupt: Callable[[], str] | None = None) -> T:
    """Run `work`; on an error print it and leave with the exit code that fits.

    Args:
        work: the command's own coroutine function.
        as_json: print errors as JSON too.
        on_interrupt: what to say on Ctrl-C ("the job goes on ...").
    """
    from tiercast_protocol.errors import TiercastError, UsageError  # noqa: PLC0415 - late, see the rules

    async def main() -> T:
        async with _carried():
            return await work()

    if session.collected is not None:  # a step of a plan: whoever reads that tells its mistakes
        return asyncio.run(main())
    try:
        return asyncio.run(main())
    except KeyboardInterrupt:
        note = on_interrupt() if on_interrupt else "interrupted"
        print(f"\n{note}", file=sys.stderr)
        raise SystemExit(ExitCode.INTERRUPTED) from None
    except UsageError as error:
        _complain(error.code, error.what, error.where, error.todo, as_json=as_json)
        raise SystemExit(exit_code_of(error.code)) from None
    except TiercastError as error:
        _complain("failed", str(error), "", "", as_json=as_json)
        raise SystemExit(ExitCode.FAILED) from None
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(ExitCode.OK) from None
    except (ConnectionError, OSError) as error:
        _complain("failed", f"the connection to the daemon broke: {error}", str(session.path), "", as_json=as_json)
        raise SystemExit(ExitCode.FAILED) from None


def refuse(error: UsageError, *, as_json: bool = False) -> NoReturn:
    """Leave with a mistake that was found before `run`, in just the way in which `run` does."""

    async def found() -> NoReturn:
        raise error

    raise SystemExit(run(found, as_json=as_json))


def _complain(code: str, what: str, where: str, todo: str, *, as_json: bool) -> None:
    if as_json:
        emit({"error": {"code": code, "what": what, "where": where, "todo": todo}})
        return
    place = f" ({where})" if where and where not in what else ""
    print(f"tiercast: {what}{place}", file=sys.stderr)
    if todo:
        print(f"  {todo}", file=sys.stderr)


def emit(result: dict[str, Any]) -> None:
    """Print `result` as one line of JSON; bytes become hex."""
    print(json.dumps({"schema": SCHEMA, **result}, default=_plain, ensure_ascii=False), flush=True)


def _plain(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)
