"""The Ansible role: its files are in its form, its variables have defaults, its commands exist."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from typer.main import get_command

from tiercast_endpoint.terminal import app

FOLDER = Path(__file__).parents[2] / "deploy" / "ansible"
ROLE = FOLDER / "roles" / "tiercast_endpoint"
FILES = sorted(FOLDER.rglob("*.yml"))


@pytest.mark.parametrize("file", FILES, ids=lambda path: str(path.relative_to(FOLDER)))
def test_each_file_is_plain_yaml(file: Path) -> None:
    lines = file.read_text().splitlines()
    assert lines[0] == "---"
    before = 0
    for line in lines:
        assert "\t" not in line
        assert line == line.rstrip()
        indent = len(line) - len(line.lstrip())
        if line.strip() and not line.lstrip().startswith("#"):
            assert indent % 2 == 0
            assert indent <= before + 4
            before = indent
            # a value with braces, or a colon and a space in it, must be quoted
            value = re.sub(r"^\s*(- )?([a-z_.A-Z]+:\s*)?", "", line)
            assert not value.startswith("{{"), line
            assert value.count('"') % 2 == 0, line


def test_every_variable_has_a_default_or_is_registered() -> None:
    defaults = set(re.findall(r"(?m)^([a-z_]+):", (ROLE / "defaults/main.yml").read_text()))
    tasks = (ROLE / "tasks/main.yml").read_text()
    registered = set(re.findall(r"register: ([a-z_]+)", tasks))
    used = set(re.findall(r"\b(tiercast_[a-z_]+)\b(?!\.yml)", re.sub(r"#.*", "", tasks)))
    assert used - defaults - registered == set()
    assert defaults <= used, "a default that nothing reads"
    handlers = set(re.findall(r"- name: (.+)", (ROLE / "handlers/main.yml").read_text()))
    assert set(re.findall(r"notify: (.+)", tasks)) <= handlers


def test_a_token_stands_on_no_command_line_and_in_no_log() -> None:
    tasks = (ROLE / "tasks/main.yml").read_text().split("\n\n")
    about = [task for task in tasks if "tiercast_invited" in task]
    assert len(about) == 2
    assert all("no_log: true" in task for task in about)
    assert all(".token" not in line or line.strip().startswith("stdin:") for line in "\n".join(about).splitlines())


def test_its_commands_are_the_agents() -> None:
    group = get_command(app)
    assert {"join", "root"} <= set(group.commands)  # type: ignore[attr-defined]
    init = group.commands["root"].commands["init"]  # type: ignore[attr-defined]
    options = {option for parameter in init.params for option in parameter.opts}
    assert {"--agent", "--install-root", "--fingerprint"} <= options


def test_ansible_accepts_it(tmp_path: Path) -> None:
    playbook = shutil.which("ansible-playbook")
    if playbook is None:
        return  # the checks above are what can be said without it
    done = subprocess.run(
        [playbook, "--syntax-check", "-i", "localhost,", str(FOLDER / "site.yml")],
        capture_output=True, text=True, check=False, timeout=100, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
