"""`tiercast node bootstrap`, `node push` and `node medium`: ways to put the agent on a machine (docs/agent.md).

Rules
- Each machine gets a script of its own with a token of its own, good once; the script says which region it is for, and
  refuses software that is not what was named.
- Nothing goes into a script but what was checked: names by their form, the rest as a word of the shell.
- A push runs on a few machines at a time; each has a result of its own, and one that fails stops no other.
- A token never stands on a command line: it goes over standard input.
"""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import signal
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

import typer

from tiercast_cli.said.durations import seconds_of
from tiercast_cli.said.options import Json
from tiercast_cli.talk.session import ask, emit, run
from tiercast_protocol.errors import TiercastError, UsageError
from tiercast_protocol.wire.topics import valid_name

_EXAMPLES = """\b
Examples:
  tiercast node bootstrap pc-17 --parent berlin --from https://files.example/tiercast.deb --sha256 9f86...
  tiercast node bootstrap pc-17 --out pc-17.sh
"""
_PUSH = """\b
Examples:
  tiercast node push root@pc-17 root@pc-18 --parent berlin --from https://files.example/tiercast.deb --sha256 9f86...
  tiercast node push admin@10.0.0.7=pc-19 --ssh "ssh -o BatchMode=yes -J jump.example"
"""
_HOST = re.compile(
    r"(?:(?P<user>[A-Za-z0-9_][A-Za-z0-9_.-]*)@)?(?P<host>[A-Za-z0-9_][A-Za-z0-9_.:-]*)(?:=(?P<name>.+))?\Z"
)
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")
#: Seconds for one machine, and bytes of what it says that are kept.
_LIMIT_S, _KEPT = 900.0, 2000

Source = Annotated[str, typer.Option("--from", metavar="FILE|URL", help="A .deb, or for a user's agent a wheel.")]
Sha256 = Annotated[str, typer.Option("--sha256", metavar="DIGEST", help="Of what lies there; an address needs it.")]
Parent = Annotated[str, typer.Option("--parent", help="The node it joins below; the server by default.")]
Valid = Annotated[str, typer.Option("--valid", help="How long the token may wait: 30m, 12h, 7d.")]


@dataclass(frozen=True, slots=True)
class Pushed:
    """What became of one machine: `exit` is ssh's, -1 where it did not end in time; `says` are its last lines."""

    host: str
    node: str
    ok: bool
    exit: int
    says: str


def render(token: str, source: str, sha256: str) -> str:
    """The script for the machine that `token` invites.

    Raises:
        UsageError: no token, or software that can't be named so.
    """
    from tiercast_protocol.content.sealed.digest import digest_of  # noqa: PLC0415 - late, it is heavy
    from tiercast_protocol.content.trust.credential import Token  # noqa: PLC0415 - late, it is heavy

    _check_source(source, sha256)
    invited = Token.from_text(token)
    text = resources.files("tiercast_cli").joinpath("bootstrap.sh").read_text("utf-8")
    words = {
        "REGION": invited.region,
        "NODE": invited.name,
        "PARENT": invited.parent,
        "URL": re.sub(r"[^!-~]|['\\]", "?", invited.url),
        "FINGERPRINT": digest_of(invited.region_key).hex()[:16],
        "SOURCE": source,
        "SHA256": sha256,
        "TOKEN": token,
    }
    return re.sub(r"@([A-Z0-9]+)@", lambda found: words[found[1]], text)


def _check_source(source: str, sha256: str) -> None:
    if not re.fullmatch(r"[^'\x00-\x1f\x7f]*", source):
        what = "A file or address with quotes or control characters can't be put into a script."
        raise UsageError("bootstrap.invalid", what, "--from", "Give it a plain name.")
    if sha256 and not _SHA256.match(sha256):
        raise UsageError("digest.invalid", "It is no SHA-256.", "--sha256", "Write 64 digits of `sha256sum FILE`.")
    if source.startswith(("http://", "https://")) and not sha256:
        what = "What comes from an address is taken only with its digest."
        raise UsageError("digest.invalid", what, "--sha256", "Add --sha256 with what `sha256sum FILE` prints.")


def register(app: typer.Typer) -> None:  # noqa: C901 - one command after the other
    """Add the commands to `tiercast node`."""

    @app.command(epilog=_EXAMPLES)
    def bootstrap(
        name: Annotated[str, typer.Argument(help="What the new machine will be called.")],
        *,
        parent: Parent = "",
        source: Source = "",
        sha256: Sha256 = "",
        valid: Valid = "24h",
        out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Write it there, mode 0600.")] = None,
        json: Json = False,
    ) -> None:
        """Make a script that puts the agent on a machine and has it join: run it there with `sh`."""

        async def work() -> None:
            _check_source(source, sha256)
            made = await _invited(name, parent, valid)
            script = render(made["token"], source, sha256)
            if out is not None:
                _write(out, script)
            if json:
                emit({"node": name, "parent": made["parent"], "expires": made["expires"], "script": script})
            elif out is None:
                print(script, end="")
            else:
                print(f"Bring {out} to {name} and run there: sh {out.name}   (once, and before its token expires)")

        run(work, as_json=json)

    @app.command(epilog=_PUSH)
    def push(
        hosts: Annotated[list[str], typer.Argument(metavar="[USER@]HOST[=NAME]...", help="Reached by ssh.")],
        *,
        parent: Parent = "",
        source: Source = "",
        sha256: Sha256 = "",
        valid: Valid = "2h",
        parallel: Annotated[int, typer.Option("--parallel", min=1, max=64, help="Machines at a time.")] = 8,
        ssh: Annotated[
            str, typer.Option("--ssh", metavar="COMMAND", help="How a machine is reached; HOST and `sh -s` follow.")
        ] = "ssh -o BatchMode=yes -o ConnectTimeout=15",
        json: Json = False,
    ) -> None:
        """Put the agent on machines over ssh, and have them join."""

        async def work() -> None:
            _check_source(source, sha256)
            targets = _targets(hosts)
            gate = asyncio.Semaphore(parallel)

            async def one(host: str, node: str) -> Pushed:
                async with gate:
                    script = render((await _invited(node, parent, valid))["token"], source, sha256)
                    return await pushed(shlex.split(ssh), host, node, script)

            async with asyncio.TaskGroup() as tasks:
                begun = [tasks.create_task(_told(one, host, node)) for host, node in targets]
            results = [task.result() for task in begun]
            if json:
                emit({"pushed": [asdict(result) for result in results]})
            for result in results if not json else ():
                print(f"{result.node:<24}{'joined' if result.ok else f'failed ({result.exit})'}  {_last(result.says)}")
            if not all(result.ok for result in results):
                raise SystemExit(1)

        run(work, as_json=json)

    @app.command(epilog="\b\nExamples:\n  tiercast node medium /media/stick\n")
    def medium(
        folder: Annotated[Path, typer.Argument(help="Where the medium would be written.")], *, json: Json = False
    ) -> None:
        """Write a medium that puts the agent on machines without a network: its place is kept, it is not there yet."""

        async def work() -> None:
            raise UsageError(
                code="medium.reserved",
                what="There is no offline medium yet.",
                where=str(folder),
                todo="Bring the .deb there, and a script: `tiercast node bootstrap NAME --from FILE.deb --out FILE`.",
            )

        run(work, as_json=json)


async def _invited(name: str, parent: str, valid: str) -> dict[str, Any]:
    made: dict[str, Any] = await ask(
        "node.invite", name=name, role="endpoint", parent=parent, ttl_s=seconds_of(valid, "--valid"), replace=False
    )
    return made


async def _told(one: Any, host: str, node: str) -> Pushed:
    """What became of it; an error of ours for this machine is its result, and stops no other."""
    try:
        result: Pushed = await one(host, node)
    except TiercastError as error:
        return Pushed(host, node, ok=False, exit=-1, says=str(error))
    return result


async def pushed(ssh: Sequence[str], host: str, node: str, script: str, *, limit_s: float = _LIMIT_S) -> Pushed:
    """Run the script there; `ssh` is how."""
    try:
        process = await asyncio.create_subprocess_exec(
            *ssh,
            host,
            "sh -s",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        return Pushed(host, node, ok=False, exit=-1, says=f"{ssh[0]} could not be started: {error.strerror}")
    try:
        async with asyncio.timeout(limit_s):
            said, _ = await process.communicate(script.encode())
    except TimeoutError:
        # With all that it started: whoever holds its output open would hold us up.
        os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
        return Pushed(host, node, ok=False, exit=-1, says=f"It was not done within {limit_s:,.0f} s.")
    exit_ = process.returncode if process.returncode is not None else -1
    return Pushed(host, node, ok=exit_ == 0, exit=exit_, says=said[-_KEPT:].decode("utf-8", "replace").strip())


def _targets(hosts: Sequence[str]) -> list[tuple[str, str]]:
    """(what ssh is told, the node's name) of each; all mistakes at once."""
    found: list[tuple[str, str]] = []
    wrong: list[str] = []
    for text in hosts:
        read = _HOST.match(text)
        name = (read["name"] or read["host"].partition(".")[0]) if read is not None else ""
        if read is None or not valid_name(name):
            wrong.append(text)
            continue
        found.append((f"{read['user']}@{read['host']}" if read["user"] else read["host"], name))
    names = [name for _, name in found]
    if wrong or len(set(names)) < len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        what = f"These can't be machines: {', '.join(wrong)}." if wrong else f"Named twice: {', '.join(twice)}."
        raise UsageError(
            "push.invalid", what, "HOST", "Write USER@HOST, and =NAME where the node is to be called otherwise."
        )
    return found


def _last(says: str) -> str:
    return says.splitlines()[-1] if says else ""


def _write(path: Path, text: str) -> None:
    from tiercast_protocol.node.joined import write_private  # noqa: PLC0415 - late, it is heavy

    write_private(path, text)
