"""Every mistake of a folder and its definition is told in one pass, with line and key."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tiercast_cli.packager.inspect import inspect
from tiercast_protocol.content.package.definition import parse_definition
from tiercast_protocol.errors import UsageError

TEXT = """\
name = "editor"
version = "1.0"
requires = ["nothing >= 1", "b => 2"]
replace = "sometimes"
[run_after]
argv = ["./gone.sh"]
"""


async def library(definition: str) -> list[dict[str, Any]]:
    assert parse_definition(definition).requires == ("nothing >= 1",)
    return [
        {"key": "requires", "problem": "names nothing", "expected": "a package", "warning": False},
        {"key": "revision", "problem": "is taken", "expected": "a free one", "warning": True},
    ]


async def test_text_tree_and_library_at_once(tmp_path: Path) -> None:
    (tmp_path / "package.toml").write_text(TEXT)
    found = await inspect(tmp_path, None, library)
    assert [(one["line"], one["key"]) for one in found] == [
        (3, "requires"),
        (3, "requires"),
        (4, "replace"),
        (0, "(tree)"),
        (0, "revision"),
    ]
    assert "gone.sh" in found[3]["problem"]
    assert [one["warning"] for one in found] == [False] * 4 + [True]


async def test_names_that_a_case_insensitive_disk_confuses(tmp_path: Path) -> None:
    (tmp_path / "package.toml").write_text('name = "a"\nversion = "1"\n')
    (tmp_path / "README").write_text("")
    (tmp_path / "readme").write_text("")
    (found,) = await inspect(tmp_path, None, None)
    assert "differ by case only, or by how an accent is written: README and readme" in found["problem"]
    (tmp_path / "readme").unlink()
    for name in ("caf\u00e9", "cafe\u0301"):
        (tmp_path / name).write_text("")
    (found,) = await inspect(tmp_path, None, None)
    assert "caf\u00e9" in found["problem"]


async def test_what_the_library_can_not_read_is_told_with_the_line_that_the_text_has(tmp_path: Path) -> None:
    (tmp_path / "package.toml").write_text('# mine\nname = "a"\nversion = "1"\nrequires = ["a"]\n')

    async def library(text: str) -> list[dict[str, Any]]:
        parse_definition(text)
        return []

    (found,) = await inspect(tmp_path, None, library)
    assert (found["line"], found["key"], found["problem"]) == (4, "requires", "names the package itself: 'a'")


async def test_nothing_wrong(tmp_path: Path) -> None:
    (tmp_path / "package.toml").write_text('name = "a"\nversion = "1"\n')
    (tmp_path / "package.schema.json").write_text("{}")
    assert await inspect(tmp_path, None, None) == []


async def test_no_toml_at_all(tmp_path: Path) -> None:
    elsewhere = tmp_path / "x.toml"
    elsewhere.write_text("= 1")
    (found,) = await inspect(tmp_path, elsewhere, None)
    assert (found["key"], found["line"]) == ("(file)", 1)


async def test_nothing_to_look_at(tmp_path: Path) -> None:
    for folder, code in ((tmp_path / "no", "folder.unknown"), (tmp_path, "definition.invalid")):
        with pytest.raises(UsageError) as caught:
            await inspect(folder, None, None)
        assert caught.value.code == code


GROUPED = """\
name = "editor"
version = "1"
[run_before]
argv = ["./gone.sh"]
[run_after]
argv = ["./plain.txt"]
[files.arm]
[files.pc]
platform = 'os == "linux"'
"""


async def test_all_of_a_tree_s_mistakes_are_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "package.toml").write_text(GROUPED.replace("[files.arm]\n", "[files.arm]\nplatform = 'true'\n"))
    (tmp_path / "arm").mkdir()
    for name in ("README", "readme", "Read me", "READ ME", "both", "arm/both", "plain.txt"):
        (tmp_path / name).write_text("")
    (tmp_path / "out").symlink_to("/etc")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "suid").write_text("")
    (tmp_path / "suid").chmod(0o4755)
    found = [one["problem"] for one in await inspect(tmp_path, None, None)]
    for said in (
        "'out'",
        "a named pipe",
        "setuid",
        "READ ME and Read me",
        "README and readme",
        "runs gone.sh, which is not in the folder, nor in arm",
        "plain.txt can't be run",
        "the group pc has the folder pc, which is not in the tree",
        "machines of the group arm can't take it: 'both' is in a group and beside it",
    ):
        assert [one for one in found if said in one], (said, found)


async def test_of_very_many_the_first_are_told(tmp_path: Path) -> None:
    (tmp_path / "package.toml").write_text('name = "a"\nversion = "1"\n')
    for number in range(105):
        (tmp_path / f"l{number}").symlink_to("/etc")
    found = await inspect(tmp_path, None, None)
    assert len(found) == 101
    assert found[-1]["problem"] == "has 5 more mistakes"
