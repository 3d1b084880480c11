"""What actions take from the tree is there, before anything is sealed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tiercast_cli.packager.inspect import inspect
from tiercast_cli.packager.scan import scan
from tiercast_cli.packager.sources import check_sources
from tiercast_protocol.content.package.definition import parse_definition
from tiercast_protocol.errors import UsageError

HEAD = 'name = "app"\nversion = "1"\n[[action]]\n'


def tree(folder: Path) -> Path:
    (folder / "d").mkdir()
    (folder / "d/f").touch()
    (folder / "run.sh").touch(mode=0o755)
    (folder / "l").symlink_to("d/f")
    return folder


@pytest.mark.parametrize(
    ("action", "code"),
    [
        ('type = "file"\npath = "/a"\nsource = "d/f"', ""),
        ('type = "file"\npath = "/a"\nsource = "none"', "source.missing"),
        ('type = "file"\npath = "/a"\nsource = "d"', "source.kind"),
        ('type = "file"\npath = "/a"\nsource = "l"', "source.kind"),
        ('type = "files"\npath = "/a"\nsource = "d"', ""),
        ('type = "site"\npath = "/a"\nsource = "d/f"', "source.kind"),
        ('type = "link"\npath = "/a"\nsource = "d"', ""),
        ('type = "link"\npath = "/a"\ntarget = "/none"', ""),
        ('type = "wheel"\npath = "/a"\nsources = ["d/f", "x.whl"]', "source.missing"),
        ('type = "program"\nname = "a"\nargv = ["./run.sh"]', ""),
        ('type = "program"\nname = "a"\nargv = ["/bin/true"]\nundo = ["./none"]', "source.missing"),
        ('type = "program"\nname = "a"\nargv = ["./d/f"]', "source.kind"),
        (
            'type = "group"\nname = "a"\n[handler]\ninstall = ["./no"]\nremove = ["/x"]\nquery = ["/x"]',
            "source.missing",
        ),
    ],
)
def test_each_source(tmp_path: Path, action: str, code: str) -> None:
    found = scan(tree(tmp_path))
    definition = parse_definition(HEAD + action)
    if not code:
        check_sources(definition, found, tmp_path)
        return
    with pytest.raises(UsageError) as caught:
        check_sources(definition, found, tmp_path)
    assert caught.value.code == code


async def test_package_check_tells_it(tmp_path: Path) -> None:
    tree(tmp_path)
    (tmp_path / "package.toml").write_text(HEAD + 'type = "file"\npath = "/a"\nsource = "none"\n')
    (one,) = await inspect(tmp_path, None, None)
    assert "takes none, which is not in the folder" in one["problem"]
