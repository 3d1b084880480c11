"""What is installed: read from files, the highest version, and only again when they changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tiercast_endpoint.facts import software
from tiercast_endpoint.facts.software import Software

STATUS = """Package: openssl
Status: install ok installed
Architecture: amd64
Version: 3.0.11-1
Description: a text
 Version: 9, and it goes on

Package: gone
Status: deinstall ok config-files
Version: 1

Package: openssl
Status: install ok installed
Architecture: i386
Version: 3.0.9-1
"""


def system(root: Path) -> Path:
    (root / "var/lib/dpkg").mkdir(parents=True)
    (root / "var/lib/dpkg/status").write_text(STATUS, "utf-8")
    python = root / "usr/lib/python3/dist-packages"
    for name in ("Foo_Bar-1.2.dist-info", "old-0.9-py3.11.egg-info", "no_version"):
        (python / name).mkdir(parents=True)
    local = root / "usr/local/lib/python3.11/site-packages/foo.bar-1.10.dist-info"
    local.mkdir(parents=True)
    return root


def test_packages_of_the_system_and_of_python(tmp_path: Path) -> None:
    found = Software(system(tmp_path))()
    assert found == {"openssl": "3.0.11-1", "openssl:i386": "3.0.9-1", "pip:foo-bar": "1.10", "pip:old": "0.9"}
    assert Software(tmp_path, ("dpkg",))().keys() == {"openssl", "openssl:i386"}
    assert Software(tmp_path / "empty")() == {}


def test_rpm_is_asked_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "usr/bin").mkdir(parents=True)
    (tmp_path / "var/lib/rpm").mkdir(parents=True)
    (tmp_path / "var/lib/rpm/rpmdb.sqlite").write_bytes(b"x")
    rpm = tmp_path / "usr/bin/rpm"
    rpm.write_text(
        "#!/bin/sh\nprintf 'kernel\\t5.9-1\\nkernel\\t5.14-1\\ngpg-pubkey\\tx\\nopenssl\\t1:3.0-2\\n'\n", "utf-8"
    )
    rpm.chmod(0o755)
    ask = Software(tmp_path)
    assert ask() == {"kernel": "5.14-1", "openssl": "1:3.0-2"}
    rpm.write_text("#!/bin/sh\nexit 1\n", "utf-8")
    assert ask() == {"kernel": "5.14-1", "openssl": "1:3.0-2"}, "nothing changed, so nobody was asked"
    (tmp_path / "var/lib/rpm/rpmdb.sqlite").write_bytes(b"xy")
    assert ask() == {"kernel": "5.14-1", "openssl": "1:3.0-2"}, "what it said last stands"


def test_nothing_is_read_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ask = Software(system(tmp_path))
    first = ask()
    monkeypatch.setattr(software, "_paragraphs", lambda _lines: pytest.fail("read again"))
    assert ask() == first
