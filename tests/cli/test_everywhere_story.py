"""What holds for every command alike: JSON where it is asked for, examples in the help, completion in three shells."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
import typer

from cli_daemon import Daemon
from tiercast_cli.__main__ import app


def commands(command: object, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], object]]:
    """Every command of the tree that does something, with the words that lead to it."""
    inner = getattr(command, "commands", None)
    if inner is None:
        yield path, command
        return
    for name, below in inner.items():
        yield from commands(below, (*path, name))


ALL = dict(commands(typer.main.get_command(app)))


def test_every_noun_has_its_verbs() -> None:
    nouns = {path[0] for path in ALL if len(path) > 1}
    things = {"job", "plan", "rollout", "assignment", "package", "cabinet", "node", "group", "depot", "link", "ledger"}
    assert nouns == things | {"inventory", "owner"}


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_json_is_an_option_of_every_command(path: tuple[str, ...]) -> None:
    assert "--json" in {option for parameter in ALL[path].params for option in parameter.opts}


COMPLETERS = {
    "bash": ({"COMP_WORDS": "tiercast job show j-", "COMP_CWORD": "3"}, "j-1\nj-2"),
    "zsh": ({"_TYPER_COMPLETE_ARGS": "tiercast job show j-"}, '"j-1"\n"j-2"'),
    "fish": ({"_TYPER_COMPLETE_ARGS": "tiercast job show j-", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}, "j-1\nj-2"),
}


def ask(shell: str, action: str, daemon: Daemon, **environment: str) -> str:
    """What the command gives the shell, as the shell's own script asks for it."""
    done = subprocess.run(
        [sys.executable, "-c", "from tiercast_cli.__main__ import app; app(prog_name='tiercast')"],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(sys.path),
            "TIERCAST_SOCKET": str(daemon.path),
            "_TIERCAST_COMPLETE": f"{action}_{shell}",
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.stdout


@pytest.mark.parametrize("shell", COMPLETERS)
def test_each_shell_completes_names_from_the_server(shell: str, daemon: Daemon) -> None:
    daemon.answers["names"] = ["j-1", "j-2", "k-3"]
    environment, expected = COMPLETERS[shell]
    said = ask(shell, "complete", daemon, **environment)
    for name in expected.split("\n"):
        assert name in said, said
    assert "k-3" not in said
    assert daemon.asked == [("names", {"kind": "job"})]


@pytest.mark.parametrize("shell", COMPLETERS)
def test_each_shell_gets_a_script(shell: str, daemon: Daemon) -> None:
    assert f"_TIERCAST_COMPLETE=complete_{shell}" in ask(shell, "source", daemon)
