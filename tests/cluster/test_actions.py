"""A package's ordered actions through real daemons: definition, command line, server, gateway, endpoint, receipt."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.endpoint.acting.site import snapshot

from cluster import asked, running, states, until
from region import Region

DEFINITION = """
name = "app"
version = "{version}"
revision = 1

[variables]
colour = "red"

[[action]]
type = "file"
path = "/etc/app/app.conf"
source = "etc/app.conf"
mode = "0640"
config = "keep"

[[action]]
type = "env"
path = "/etc/shared.env"
set = {{ COLOUR = "${{colour}}" }}

[[action]]
type = "program"
name = "index"
argv = ["./index.sh", "{version}"]
undo = ["./unindex.sh"]
exits = [0, 3]
"""
INDEX = """#!/bin/sh
echo "indexing $1"
echo $1 >> $TIERCAST_PREFIX/index
test $1 != 3 || {{ echo once >> {ran}; exec sleep 300; }}
test $1 != 2 || exit 1
exit 3
"""
UNINDEX = "#!/bin/sh\nrm -f $TIERCAST_PREFIX/index\n"


@pytest.fixture(scope="module", name="site")
def _site() -> Iterator[Region]:
    with running() as region:
        region.add_server()
        region.add_gateway("berlin")
        region.add_endpoint("pc-1", "berlin")
        yield region


def test_installed_taken_back_interrupted_and_removed(site: Region, tmp_path: Path) -> None:
    top, daemon = tmp_path / "machine", site.daemons["pc-1"]
    (top / "etc").mkdir(parents=True)
    (top / "etc/shared.env").write_text("# ours\nCOLOUR=blue\n")
    before = snapshot(top, times=False)
    file = daemon.folder / "endpoint.toml"
    file.write_text(file.read_text().replace('prefix = "/"', f'prefix = "{top}"'))
    site.kill("pc-1")
    site.start(daemon)

    tree = tmp_path / "tree"
    (tree / "etc").mkdir(parents=True)
    for version in ("1", "2", "3"):
        (tree / "etc/app.conf").write_text(f"version = {version}\n")
        scripts = {"index.sh": INDEX.format(ran=tmp_path / "ran"), "unindex.sh": UNINDEX}
        for name, text in scripts.items():
            (tree / name).write_text(text)
            (tree / name).chmod(0o755)
        (tree / "package.toml").write_text(DEFINITION.format(version=version))
        site.cli("package", "build", str(tree))

    job = site.cli("job", "install", "app=1", "--on", "pc-1", "--watch")["job"]
    assert job["state"] == "done", site.cli("job", "receipt", job["job"], "pc-1")
    receipt = site.cli("job", "receipt", job["job"], "pc-1")["receipt"]
    assert [(one["action"], one["did"]) for one in receipt["actions"]] == [
        ("file /etc/app/app.conf", "placed"),
        ("env /etc/shared.env", "placed"),
        ("program index", "ended with status 3"),
    ]
    assert receipt["programs"][0]["output"] == "indexing 1\n"
    assert (top / "etc/shared.env").read_text() == "# ours\nCOLOUR=red\n"
    stood = snapshot(top)

    # What somebody changes is found by its owner and by the administrator, and placed again.
    (top / "etc/shared.env").write_text("# ours\nCOLOUR=green\n")
    (top / "etc/app/app.conf").unlink()
    shown = site.tool("tiercast_endpoint", "verify", "app", "--state", str(daemon.folder), check=False)
    assert shown.returncode == 1
    assert [line.strip() for line in shown.stdout.splitlines()[1:]] == [
        "/etc/app/app.conf  is gone",
        "/etc/shared.env  'COLOUR' was changed",
        "program index  is not compared",
    ]
    found = site.cli("job", "verify", "app", "--on", "pc-1", "--watch", check=False)["job"]["targets"][0]
    assert (found["state"], found["code"]) == ("failed", "verify.differs")
    assert site.cli("job", "repair", "app=1", "--on", "pc-1", "--watch")["job"]["state"] == "done"
    assert site.cli("job", "verify", "app", "--on", "pc-1", "--watch")["job"]["state"] == "done"
    assert {path: what[:4] for path, what in snapshot(top).items()} == {path: what[:4] for path, what in stood.items()}
    assert (top / "index").read_text() == "1\n", "a repair runs no program"
    stood = snapshot(top)

    job = site.cli("job", "install", "app=2", "--on", "pc-1", "--watch", check=False)["job"]
    assert job["state"] == "failed"
    receipt = site.cli("job", "receipt", job["job"], "pc-1")["receipt"]
    assert receipt["code"] == "program.failed"
    assert {path: what for path, what in snapshot(top).items() if path != "index"} == {
        path: what for path, what in stood.items() if path != "index"
    }

    job = site.cli("job", "install", "app=3", "--on", "pc-1")["job"]
    until((tmp_path / "ran").exists, "the program runs")
    site.kill("pc-1")
    site.start(daemon)
    until(lambda: states(site, job) == {"pc-1": "interrupted"}, "the receipt of the next life")
    assert (tmp_path / "ran").read_text() == "once\n"
    assert (top / "etc/app/app.conf").read_text() == "version = 1\n"
    (package,) = asked(site, "packages", at="pc-1")
    assert package["version"] == "1"

    assert site.cli("job", "remove", "app", "--on", "pc-1", "--watch")["job"]["state"] == "done"
    assert snapshot(top, times=False) == before, "a file that people changed meanwhile goes back key by key"
    shutil.rmtree(tree)
