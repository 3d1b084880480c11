"""Walking below a prefix: nobody leads us elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from tiercast_endpoint.acting.prefix import FILE, FOLDER, LINK, NONE, OTHER, ActError, Image, Prefix, digest_of


def test_what_stands_where(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d/f").write_bytes(b"x")
    (tmp_path / "d/l").symlink_to("f")
    prefix = Prefix(tmp_path)
    kinds = {path: prefix.look(path).kind for path in ("/d", "/d/f", "/d/l", "/d/none", "/none/deep")}
    assert kinds == {"/d": FOLDER, "/d/f": FILE, "/d/l": LINK, "/d/none": NONE, "/none/deep": NONE}
    assert prefix.look("/d/f").digest == digest_of(b"x")
    assert prefix.look("/d/f").like(Image(FILE, digest=digest_of(b"x")))
    assert prefix.missing("/d/x/y/z") == ["/d/x", "/d/x/y"]
    assert prefix.read("/d/f", 1) == b"x"
    with pytest.raises(ActError, match="longer than 0 bytes"):
        prefix.read("/d/f", 0)
    assert Prefix(Path("/")).look("/dev/null").kind == OTHER
    assert Prefix(Path("/")).whole


def test_links_and_files_on_the_way_are_named(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "lib").symlink_to("real")
    (tmp_path / "file").touch()
    prefix = Prefix(tmp_path)
    with pytest.raises(ActError, match="/lib is a link to real"):
        prefix.look("/lib/x")
    with pytest.raises(ActError, match="/file is no folder"):
        prefix.look("/file/x")


def test_a_mount_point_is_refused(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(f"36 35 98:0 / {tmp_path}/a\\040b rw,noatime master:1 - ext3 /dev/root rw\n")
    (tmp_path / "a b").mkdir()
    prefix = Prefix(tmp_path, mounts)
    with pytest.raises(ActError, match="mount point"):
        prefix.look("/a b")
    assert prefix.look("/a b/x").kind == NONE
    mounts.write_text("")
    prefix.look_again()
    assert prefix.look("/a b").kind == FOLDER
    assert Prefix(tmp_path, tmp_path / "none").look("/a b").kind == FOLDER


def test_names_of_users_are_those_of_the_prefix(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text("app:x:7:8::/:/bin/sh\n")
    (tmp_path / "etc/group").write_text("www:x:9:\n")
    prefix = Prefix(tmp_path)
    assert prefix.ids("app", "") == (7, 8)
    assert prefix.ids("app", "www") == (7, 9)
    assert Prefix(Path("/")).ids("root", "root") == (0, 0)
    with pytest.raises(ActError, match="no user 'none'"):
        prefix.ids("none", "")
    with pytest.raises(ActError, match="no group 'none'"):
        Prefix(Path("/")).ids("", "none")
