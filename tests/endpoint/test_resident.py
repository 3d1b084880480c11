"""The agent's own start: what it reads of the command line, and what it does not load."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tiercast_endpoint import resident

ENV = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}


@pytest.mark.parametrize(
    ("words", "mine"),
    [
        (["run"], True),
        (["run", "--state", "x"], True),
        (["run", "--state=x"], False),
        (["root", "run"], True),
        (["root", "run", "--state", "x"], True),
        (["root", "init"], False),
        (["run", "--help"], False),
        (["run", "--state"], False),
        (["run", "--state", "x", "y"], False),
        (["status"], False),
        ([], False),
    ],
)
def test_only_the_plain_command_line_is_its_own(words: list[str], mine: bool) -> None:
    assert resident.understands(words) is mine


def test_a_daemon_loads_nothing_of_a_terminal(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom tiercast_endpoint import resident\n"
        "code = resident.run(['run', '--state', sys.argv[1]])\n"
        "heavy = {'rich', 'typer', 'sqlalchemy', 'greenlet', 'pygments', 'pyfastcdc', 'cel'}\n"
        "print(code, sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "none")], capture_output=True, text=True, check=False, env=ENV
    )
    assert done.stdout == "2 []\n", done.stderr
    assert "error: " in done.stderr  # for a person, as the terminal says it


def test_what_was_hidden_can_be_loaded_after() -> None:
    code = (
        "import json\nfrom tiercast_endpoint import resident\n"
        "with resident._without(('rich', 'json')):\n"
        "    import json\n"
        "    try:\n        import rich\n    except ImportError:\n        print('hidden')\n"
        "import rich\nprint(rich.__name__, json.__name__)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=ENV)
    assert done.stdout.split() == ["hidden", "rich", "json"]
