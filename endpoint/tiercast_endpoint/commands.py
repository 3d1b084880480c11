"""`tiercast-endpoint inventory`, `group ...`, `messages`, `verify`: what the machine says, asks for, was told, and has.

Rules
- The ways to ask the agent and to print come from `__main__`, so that errors look alike everywhere.
- Nothing heavy is imported: help answers at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Protocol

import typer

State = Annotated[
    Path | None,
    typer.Option("--state", metavar="DIR", help="The agent's folder.", envvar="TIERCAST_ENDPOINT_STATE"),
]
Json = Annotated[bool, typer.Option("--json", help="One line of JSON instead of text.")]
Group = Annotated[str, typer.Argument(metavar="GROUP", help="A group of the region.")]
#: How long `group join` waits for the region, in seconds.
_WAIT_S = 20


class Ask(Protocol):
    """Calls a verb of the agent; what fails is printed, and ends the command."""

    def __call__(self, state: Path | None, verb: str, *, json: bool, **args: Any) -> Any:
        """What the agent answers."""
        ...


def register(app: typer.Typer, ask: Ask, emit: Callable[[dict[str, Any]], None]) -> None:
    """Add the commands to `app`."""
    _add_inventory(app, ask, emit)
    _add_messages(app, ask, emit)
    _add_verify(app, ask, emit)
    _add_reboot(app, ask, emit)
    group = typer.Typer(
        no_args_is_help=True, rich_markup_mode=None, help="Groups of the region that this machine asks to be in."
    )
    app.add_typer(group, name="group")
    _add_groups(group, ask, emit)


def _add_inventory(app: typer.Typer, ask: Ask, emit: Callable[[dict[str, Any]], None]) -> None:
    @app.command(epilog="Example: tiercast-endpoint inventory")
    def inventory(*, state: State = None, json: Json = False) -> None:
        """Show what this machine says of itself."""
        found: dict[str, Any] = ask(state, "inventory", json=json)
        if json:
            emit({"inventory": found})
            return
        for fact, value in found.items():
            said = ", ".join(f"{key}={one}" for key, one in sorted(value.items())) if isinstance(value, dict) else value
            typer.echo(f"{fact:>13}  {said}")


def _add_verify(app: typer.Typer, ask: Ask, emit: Callable[[dict[str, Any]], None]) -> None:
    epilog = "Examples: tiercast-endpoint verify, tiercast-endpoint verify editor --json"

    @app.command(epilog=epilog)
    def verify(
        package: Annotated[str, typer.Argument(metavar="[PACKAGE]", help="Only this one.")] = "",
        *,
        state: State = None,
        json: Json = False,
    ) -> None:
        """Compare what is installed with what was sealed, placed and set up; exit code 1 where something differs."""
        found: list[dict[str, Any]] = ask(state, "verify", json=json, package=package)
        if json:
            emit({"packages": found})
        for one in [] if json else found:
            how = f"{one['files']:,} paths as sealed" if one["whole"] else "differs"
            typer.echo(f"{one['package']} {one['version']}  {how}")
            for differs in one["differences"]:
                typer.echo(f"  {differs['path']}  {differs['what']}")
            for unseen in one.get("unseen", []):
                typer.echo(f"  {unseen}  is not compared")
        if not all(one["whole"] for one in found):
            raise typer.Exit(1)


def _add_reboot(app: typer.Typer, ask: Ask, emit: Callable[[dict[str, Any]], None]) -> None:
    epilog = "Examples: tiercast-endpoint reboot, tiercast-endpoint reboot --later 2h"

    @app.command(epilog=epilog)
    def reboot(
        *,
        later: Annotated[str, typer.Option("--later", metavar="TIME", help="Not now, but in 30m, 2h.")] = "",
        state: State = None,
        json: Json = False,
    ) -> None:
        """Restart the machine for the packages that wait for it, now or later."""
        found: list[dict[str, Any]] = ask(state, "reboot", json=json, later_s=_length(later))
        if json:
            emit({"reboots": found})
        else:
            names = ", ".join(one["job"] for one in found)
            typer.echo(f"{'Put off' if later else 'The machine is restarted'}: {names}.")


def _length(text: str) -> int:
    units = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
    if not text:
        return 0
    if text[:-1].isdecimal() and text[-1] in units:
        return int(text[:-1]) * units[text[-1]]
    raise typer.BadParameter(f"{text!r} is no length of time: 30m, 2h", param_hint="--later")


def _add_messages(app: typer.Typer, ask: Ask, emit: Callable[[dict[str, Any]], None]) -> None:
    epilog = "Example: tiercast-endpoint messages --unread, then tiercast-endpoint messages --read 3"

    @app.command(epilog=epilog)
    def messages(
        *,
        unread: Annotated[bool, typer.Option("--unread", help="Only those that were not read.")] = False,
        read: Annotated[
            list[str] | None, typer.Option("--read", metavar="NUMBER", help="Mark it as read; or all. May be repeated.")
        ] = None,
        state: State = None,
        json: Json = False,
    ) -> None:
        """List what the region's administrators wrote to the owner of this machine."""
        args: dict[str, Any] = {"numbers": _numbers(read)} if read else {"unread": unread}
        found: list[dict[str, Any]] = ask(state, "messages.read" if read else "messages", json=json, **args)
        if json:
            emit({"messages": found})
            return
        if not found:
            typer.echo("There is no message that was not read." if unread else "There are no messages.")
        for one in found:
            at = time.strftime("%Y-%m-%d %H:%M", time.localtime(one["at"] / 1000))
            typer.echo(f"{one['n']}  {at}  {one['title'] or one['job']}{'' if one['read'] else '  (new)'}")
            for line in one["text"].splitlines():
                typer.echo(f"    {line}")


def _numbers(words: list[str]) -> list[int]:
    """The numbers that were given; none for "all"."""
    wrong = [word for word in words if word != "all" and not (word.isascii() and word.isdecimal())]
    if wrong:
        todo = "`tiercast-endpoint messages` shows them; all marks every one."
        raise typer.BadParameter(f"{wrong[0]!r} is no message's number. {todo}", param_hint="--read")
    return [] if "all" in words else [int(word) for word in words]


def _add_groups(group: typer.Typer, ask: Ask, emit: Callable[[dict[str, Any]], None]) -> None:
    @group.command("list", epilog="Example: tiercast-endpoint group list")
    def list_(*, state: State = None, json: Json = False) -> None:
        """List the groups that this machine asked for, and what came of it."""
        found: list[dict[str, str]] = ask(state, "group.list", json=json)
        if json:
            emit({"groups": found})
            return
        for one in found:
            reason = f", {one['reason']}" if one["reason"] else ""
            typer.echo(f"{one['group']}: {one['state']}{reason}")

    @group.command(epilog="Example: tiercast-endpoint group join testers")
    def join(
        name: Group,
        *,
        wait: Annotated[
            int, typer.Option("--wait", min=0, max=60, help="Seconds to wait for the region's answer.")
        ] = _WAIT_S,
        state: State = None,
        json: Json = False,
    ) -> None:
        """Ask to be in a group; its jobs are for this machine then."""
        found: dict[str, str] = ask(state, "group.join", json=json, group=name, wait_s=wait)
        if json:
            emit({"group": found})
        elif found["state"] == "joined":
            typer.echo(f"This machine is in {name}.")
        else:
            typer.echo(f"Asked to be in {name}; the region has not answered yet. See: tiercast-endpoint group list")

    @group.command(epilog="Example: tiercast-endpoint group leave testers")
    def leave(name: Group, *, state: State = None, json: Json = False) -> None:
        """Take that back; what was installed stays."""
        found: dict[str, str] = ask(state, "group.leave", json=json, group=name)
        emit({"group": found}) if json else typer.echo(f"This machine asks no more to be in {name}.")


def end_of(until: str, for_: str, command: str) -> int:
    """Milliseconds since 1970 of the end that was given to `command`.

    Raises:
        UsageError: time.invalid.
    """
    from tiercast_protocol.errors import UsageError  # noqa: PLC0415 - late, see the rules
    from tiercast_protocol.node.config import parse_duration  # noqa: PLC0415 - as above
    from tiercast_protocol.transfer.calendar import read_moment  # noqa: PLC0415 - as above

    now = time.time()
    try:
        if bool(until) != bool(for_):
            return int((read_moment(until, now) if until else now + parse_duration(for_)) * 1000)
    except ValueError as error:
        raise UsageError("time.invalid", str(error), command, "Write --until 18:00, or --for 2h.") from None
    raise UsageError("time.invalid", "Until when?", command, "Give one of --until 18:00 and --for 2h.")


def print_halves(status: dict[str, Any]) -> None:
    """Who installs, where that is another process, and which version of the agent is tried out or was refused."""
    if status.get("root_half"):
        typer.echo(f"root half asked at {status['root_half']}")
    update = status.get("update") or {}
    if update.get("trial"):
        typer.echo(f"version   on trial until a parent is reached: {update['trial']}")
    if update.get("refused"):
        typer.echo(f"version   refused: {update['refused']}.  {update['why']}")


def print_todo(told: dict[str, Any], job: str) -> None:
    """What the owner can do about it, and what he can ask an administrator for."""
    for who, key in (("you", "todo"), ("an administrator", "administrator")):
        if told.get(key):
            typer.echo(f"    {who} can: {told[key].replace('JOB', job)}")


def print_above(rows: list[dict[str, Any]], job: str) -> None:
    """What those above know of why a job waits."""
    for one in rows:
        for reason in one["chain"]:
            typer.echo(f"  {one['node']} says: {reason['code']}: {reason['says']}")
            typer.echo(f"    freed when {reason['freed'].replace('JOB', job)}")
        if result := one["result"]:
            typer.echo(f"  {one['node']} says: it has ended, {result['state']} {result['code']}".rstrip())
