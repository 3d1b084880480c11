"""Which paths an action is about."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.endpoint.acting.site import act

from tiercast_endpoint.acting.prefix import ActError, Prefix
from tiercast_endpoint.acting.wants import Want, Wanting, Where, source_of


def wants(folder: Path, action: object) -> list[Want]:
    (folder / "top").mkdir(exist_ok=True)
    where = Where("app", folder / "tree", Path("/opt/app"), None, "1-0")
    return Wanting(Prefix(folder / "top"), where).wants(action)  # type: ignore[arg-type]


def test_folders_before_files_links_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "tree/d/e").mkdir(parents=True)
    (tmp_path / "tree/d/e/f").touch()
    (tmp_path / "tree/d/l").symlink_to("e/f")
    (tmp_path / "tree/d/k").symlink_to("e")
    found = wants(tmp_path, act("files", path="/x/y", source="d"))
    assert [(want.path, want.after.kind, want.implied) for want in found] == [
        ("/x", "folder", True), ("/x/y", "folder", True), ("/x/y/k", "link", False), ("/x/y/l", "link", False),
        ("/x/y/e", "folder", True), ("/x/y/e/f", "file", False),
    ]  # fmt: skip
    (link,) = wants(tmp_path, act("link", path="/l", source="d/e/f"))
    assert link.after.target == "/opt/app/d/e/f"


def test_a_unit_brings_its_file_and_a_program_none(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/a.service").touch()
    found = wants(tmp_path, act("unit", name="a.service", source="a.service"))
    assert found[-1].path == "/etc/systemd/system/a.service"
    assert wants(tmp_path, act("unit", name="a.service")) == []
    assert wants(tmp_path, act("program", name="p", argv=["/bin/true"])) == []


def test_sources_are_files_of_the_tree(tmp_path: Path) -> None:
    (tmp_path / "tree/d").mkdir(parents=True)
    (tmp_path / "tree/out").symlink_to("/etc/passwd")
    (tmp_path / "tree/way").symlink_to("/etc")
    for source in ("out", "way/passwd", "none", "d"):
        with pytest.raises(ActError, match="has no file"):
            source_of(tmp_path / "tree", source)
    assert source_of(tmp_path / "tree", "d", folder=True).is_dir()
