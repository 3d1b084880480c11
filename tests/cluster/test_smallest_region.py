"""The smallest region: a server, and endpoints directly below it, on one broker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster import assert_installed, build, random_tree, running
from region import Region


@pytest.fixture(scope="module", params=["embedded", "mosquitto"], name="small")
def _small(request: pytest.FixtureRequest) -> Iterator[Region]:
    with running(request.param) as region:
        region.add_server()
        region.add_endpoint("pc-1")
        region.add_endpoint("pc-2")
        yield region


def test_install_upgrade_downgrade_and_remove(small: Region, tmp_path: Path) -> None:
    source = random_tree(tmp_path / "app", seed=1, files=30, size=3_000_000)
    build(small, source, "app", "1")
    job = small.cli("job", "install", "app=1", "--on", "pc-1", "--on", "pc-2", "--watch")["job"]
    assert job["counts"] == {"done": 2}
    assert_installed(small, ["pc-1", "pc-2"], "app", source)

    (source / "part-0" / "file-000.bin").write_bytes(b"changed")
    next(source.rglob("file-007.bin")).unlink()
    (source / "new.txt").write_text("new\n")
    upgrade = build(small, source, "app", "2")
    assert upgrade["sent_chunks"] < upgrade["chunks"]
    assert small.cli("job", "install", "app=2", "--on", "pc-1", "--watch")["job"]["counts"] == {"done": 1}
    assert_installed(small, ["pc-1"], "app", source)

    removed = small.cli("job", "remove", "app", "--on", "pc-1", "--on", "pc-2", "--watch")["job"]
    assert removed["counts"] == {"done": 2}
    assert not (small.apps("pc-1") / "app").exists()
    assert not (small.apps("pc-2") / "app").exists()


def test_registering_the_same_again_moves_no_chunk(small: Region, tmp_path: Path) -> None:
    source = random_tree(tmp_path / "same", seed=2, files=5, size=500_000)
    first = build(small, source, "same", "1")
    again = build(small, source, "same", "1")
    assert first["created"]
    assert not again["created"]
    assert again["sent_chunks"] == 0
    assert again["root"] == first["root"]


def test_programs_run_before_and_after_and_their_output_is_in_the_receipt(small: Region, tmp_path: Path) -> None:
    source = tmp_path / "hooked"
    source.mkdir()
    marks = tmp_path / "marks"
    for name in ("before", "after"):
        program = source / f"{name}.sh"
        program.write_text(f"#!/bin/sh\necho this is {name} of $TIERCAST_PACKAGE\necho {name} >> {marks}\n")
        program.chmod(0o755)
    (source / "package.toml").write_text(
        'name = "hooked"\nversion = "1"\n[run_before]\nargv = ["./before.sh"]\n[run_after]\nargv = ["./after.sh"]\n'
    )
    small.cli("package", "build", str(source))
    job = small.cli("job", "install", "hooked", "--on", "pc-1", "--watch")["job"]
    assert job["counts"] == {"done": 1}
    assert marks.read_text() == "before\nafter\n"
    receipt = small.cli("job", "receipt", job["job"], "pc-1")["receipt"]
    assert "this is after of hooked" in str(receipt["programs"])


def test_a_program_that_fails_leaves_the_old_version_in_place(small: Region, tmp_path: Path) -> None:
    source = random_tree(tmp_path / "fragile", seed=3, files=4, size=100_000)
    build(small, source, "fragile", "1")
    assert small.cli("job", "install", "fragile", "--on", "pc-1", "--watch")["job"]["counts"] == {"done": 1}
    newer = random_tree(tmp_path / "newer", seed=4, files=4, size=100_000)
    after = newer / "after.sh"
    after.write_text("#!/bin/sh\necho no licence >&2\nexit 7\n")
    after.chmod(0o755)
    (newer / "package.toml").write_text('name = "fragile"\nversion = "2"\n[run_after]\nargv = ["./after.sh"]\n')
    small.cli("package", "build", str(newer))
    job = small.cli("job", "install", "fragile=2", "--on", "pc-1", "--watch", check=False)["job"]
    assert job["counts"] == {"failed": 1}
    assert_installed(small, ["pc-1"], "fragile", source)
    assert "no licence" in str(small.cli("job", "receipt", job["job"], "pc-1")["receipt"]["programs"])


def test_what_is_unknown_is_named_with_what_to_do(small: Region, tmp_path: Path) -> None:
    build(small, random_tree(tmp_path / "known", seed=5, files=2, size=1000), "known", "1")
    for words, code in (
        (("job", "install", "nothing", "--on", "pc-1"), "package.unknown"),
        (("job", "install", "known=9", "--on", "pc-1"), "package.unknown"),
        (("job", "install", "known", "--on", "pc-9"), "node.unknown"),
        (("job", "install", "known", "--group", "nobody"), "group.unknown"),
        (("job", "install", "known"), "job.empty"),
        (("job", "show", "j-none"), "job.unknown"),
        (("node", "show", "pc-9"), "node.unknown"),
        (("cabinet", "show", "none"), "cabinet.unknown"),
        (("package", "list", "--cabinet", "none"), "cabinet.unknown"),
    ):
        answer = small.tool(
            "tiercast_cli", "--socket", str(small.daemons["server"].socket), *words, "--json", check=False
        )
        assert answer.returncode == 2, f"{words}: {answer.stdout} {answer.stderr}"
        assert f'"{code}"' in answer.stdout, f"{words}: {answer.stdout}"


def test_the_same_version_with_other_content_is_refused(small: Region, tmp_path: Path) -> None:
    source = random_tree(tmp_path / "fixed", seed=6, files=3, size=10_000)
    build(small, source, "fixed", "1")
    (source / "more.txt").write_text("other content")
    done = small.tool(
        "tiercast_cli", "--socket", str(small.daemons["server"].socket),
        "package", "build", str(source), "--name", "fixed", "--version", "1", check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "revision" in done.stderr


def test_an_administrator_who_orders_the_opposite_is_told_of_the_other(small: Region, tmp_path: Path) -> None:
    source = tmp_path / "slow"
    source.mkdir()
    gate = tmp_path / "gate"
    program = source / "before.sh"
    program.write_text(f"#!/bin/sh\nwhile [ ! -e {gate} ]; do sleep 0.05; done\n")
    program.chmod(0o755)
    (source / "package.toml").write_text('name = "slow"\nversion = "1"\n[run_before]\nargv = ["./before.sh"]\n')
    small.cli("package", "build", str(source))
    first = small.cli("job", "install", "slow", "--on", "pc-1")
    refused = small.cli("job", "remove", "slow", "--on", "pc-1", check=False)
    assert refused["error"]["code"] == "job.conflict"
    assert first["job"] in str(refused["error"])
    gate.touch()
    assert small.cli("job", "watch", first["job"])["job"]["counts"] == {"done": 1}


def test_everything_stops_with_exit_code_zero(small: Region) -> None:
    assert set(small.stop().values()) == {0}
    for daemon in small.daemons.values():
        small.start(daemon)
