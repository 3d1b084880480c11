"""What the root half goes by, and that nobody else wrote it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, cast

import pytest
from tests.endpoint.lab import Region
from tests.endpoint.two import USER

from tiercast_endpoint.halves import trusted
from tiercast_endpoint.halves.trusted import RootSettings
from tiercast_endpoint.trees.root_folder import RootFolder
from tiercast_protocol.errors import ConfigError, StateError, UsageError
from tiercast_protocol.node.joined import Enrolled


def enrolled(region: Region) -> Enrolled:
    class Said:
        region = "lab"
        region_key = b"k" * 32
        name = "pc1"
        key = cast("Any", None)
        generation = 3

    said = Said()
    said.region_key, said.key = region.key.public, region.node_key
    return cast("Enrolled", said)


def test_it_is_read_as_it_was_written(tmp_path: Path, region: Region) -> None:
    folder = tmp_path / "root"
    trusted.write(folder, RootSettings(install_root=tmp_path / "apps", user=USER), enrolled(region))
    found = trusted.load(folder)
    assert (found.me.region_key, found.me.generation) == (region.key.public, 3)
    assert found.settings.install_root == tmp_path / "apps"
    assert found.settings.uid() == os.geteuid()
    assert folder.stat().st_mode & 0o777 == 0o700
    # settings that stand there stay
    trusted.write(folder, RootSettings(install_root=tmp_path / "other", user=USER), enrolled(region))
    assert trusted.load(folder).settings.install_root == tmp_path / "apps"


@pytest.mark.parametrize("name", [".", trusted.TRUSTED, trusted.CONFIG])
def test_what_others_may_write_is_not_believed(tmp_path: Path, region: Region, name: str) -> None:
    folder = tmp_path / "root"
    trusted.write(folder, RootSettings(install_root=tmp_path, user=USER), enrolled(region))
    (folder / name).chmod(0o777)
    with pytest.raises(StateError, match="others than root"):
        trusted.load(folder)


def test_what_is_missing_or_damaged_is_said(tmp_path: Path, region: Region) -> None:
    with pytest.raises(UsageError, match="root init"):
        trusted.load(tmp_path)
    trusted.write(tmp_path / "r", RootSettings(install_root=tmp_path, user="no-such-user"), enrolled(region))
    with pytest.raises(UsageError, match="no-such-user"):
        trusted.load(tmp_path / "r").settings.uid()
    file = tmp_path / "r" / trusted.TRUSTED
    kept = json.loads(file.read_text())
    for wrong in ({**kept, "region_key": "00"}, {**kept, "generation": "x"}, {}):
        file.write_text(json.dumps(wrong))
        with pytest.raises(StateError, match="damaged"):
            trusted.load(tmp_path / "r")
    file.write_text(json.dumps(kept))
    (tmp_path / "r" / trusted.CONFIG).write_text('install_root = "relative"\n')
    with pytest.raises(ConfigError):
        trusted.load(tmp_path / "r")


def test_a_root_that_others_may_change_is_none(tmp_path: Path) -> None:
    root = RootFolder(tmp_path / "above" / "apps")
    root.open()
    try:
        (root.path / ".trees/hello" / ("0" * 16)).mkdir(parents=True)
        trusted.check_root(root.path)
        for place in ("", ".trees", ".staging", ".trees/hello", f".trees/hello/{'0' * 16}"):
            path = root.path / place
            before = path.stat().st_mode
            path.chmod(0o777)
            with pytest.raises(StateError, match="others than root may write there"):
                trusted.check_root(root.path)
            path.chmod(before & 0o7777)
        root.path.parent.chmod(0o777)
        with pytest.raises(StateError, match="above the install root"):
            trusted.check_root(root.path)
        root.path.parent.chmod(0o1777)
        trusted.check_root(root.path)
    finally:
        root.close()
