"""Actions on throw-away machines with a real systemd as process 1: what a stand-in can't tell."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from tests.endpoint.acting.site import Lab, act, lab

import machine
from machine import Machine
from tiercast_endpoint.acting.native import Tools
from tiercast_endpoint.acting.prefix import ActError

pytestmark = pytest.mark.skipif(bool(machine.missing()), reason=machine.missing() or "-")

UNIT = """[Unit]
Description={version}
[Service]
{service}
[Install]
WantedBy=multi-user.target
"""
GOOD = "ExecStart=/bin/sleep 100000"


@pytest.fixture(scope="module", name="booted")
def _booted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    with Machine(tmp_path_factory.mktemp("m")) as made:
        yield made


@pytest.fixture
async def site(booted: Machine, tmp_path: Path) -> AsyncIterator[Lab]:
    """The engine of this process, with that machine's root as its prefix, and its service manager as the live one."""
    tool = tmp_path / "systemctl"
    tool.write_text("#!/bin/sh\nexec " + " ".join(booted.entered("systemctl", '"$@"')) + "\n")
    tool.chmod(0o755)
    async with lab(tmp_path, Tools(systemctl=str(tool), live=True), top=booted.root) as made:
        yield made


def unit(site: Lab, tree: str, service: str = GOOD) -> None:
    site.files(tree, {"app.service": UNIT.format(version=tree, service=service).encode()})


def shown(booted: Machine, name: str) -> dict[str, str]:
    said = booted.run(
        "systemctl", "show", name, "-p", "ActiveState,SubState,UnitFileState,Description,MainPID,LoadState"
    )
    return dict(line.partition("=")[::2] for line in said.splitlines())


APP = act("unit", name="app.service", source="app.service")


async def test_a_unit_is_installed_enabled_restarted_and_taken_away(site: Lab, booted: Machine) -> None:
    unit(site, "one")
    unit(site, "two")
    done = await site.settled(1, "one", APP)
    first = shown(booted, "app.service")
    assert (first["ActiveState"], first["UnitFileState"], first["Description"]) == ("active", "enabled", "one")
    assert done.actions[0].did == "enabled and restarted"
    await site.settled(2, "two", APP)
    second = shown(booted, "app.service")
    assert (second["ActiveState"], second["Description"]) == ("active", "two")
    assert second["MainPID"] not in {"0", first["MainPID"]}
    await site.settled(3, "two")
    assert shown(booted, "app.service")["LoadState"] == "not-found"
    assert not (booted.root / "etc/systemd/system/multi-user.target.wants/app.service").is_symlink()
    assert not (booted.root / f"proc/{second['MainPID']}").exists()


@pytest.mark.parametrize(
    ("service", "code"),
    [
        ("ExecStart=/bin/false", "unit.failed"),  # the others with --long: each takes some seconds of settling
        pytest.param("ExecStart=/bin/sh -c 'sleep 0.4; exit 3'", "unit.failed", marks=pytest.mark.long),
        pytest.param("ExecStart=/no/such/program", "unit.failed", marks=pytest.mark.long),
        pytest.param("Type=oneshot\nExecStart=/bin/sleep 4711", "program.timeout", marks=pytest.mark.long),
        pytest.param("no section", "program.failed", marks=pytest.mark.long),
    ],
)
async def test_a_unit_that_does_not_come_up_gives_the_older_one_back(
    site: Lab, booted: Machine, service: str, code: str
) -> None:
    unit(site, "one")
    if service == "no section":
        site.files("two", {"app.service": b"[Service]\nType=simple\n"})
    else:
        unit(site, "two", service)
    await site.settled(1, "one", APP)
    limit = {"timeout": "10s"} if "4711" in service else {}
    newer = act("unit", name="app.service", source="app.service", **limit)
    with pytest.raises(ActError) as caught:
        await site.apply(2, "two", newer)
    assert caught.value.code == code, caught.value.detail
    await site.revert(2, "two")
    now = shown(booted, "app.service")
    assert (now["ActiveState"], now["Description"]) == ("active", "one")
    await site.settled(3, "one")
    # the very first version fails: nothing of it is left, not even among what has failed
    with pytest.raises(ActError):
        await site.apply(4, "two", newer)
    await site.revert(4, "two")
    assert shown(booted, "app.service")["LoadState"] == "not-found"
    assert booted.run("systemctl", "--failed", "--plain", "--no-legend") == ""
    assert "4711" not in booted.run("ps", "ax")


@pytest.mark.long
async def test_a_unit_of_the_machine_is_restarted_and_left_as_it_was(site: Lab, booted: Machine) -> None:
    own = booted.root / "etc/systemd/system/own.service"
    own.write_text(UNIT.format(version="own", service=GOOD))
    booted.run("systemctl", "daemon-reload")
    booted.run("systemctl", "start", "own.service")
    before = shown(booted, "own.service")
    site.files("one", {"conf": b"[Service]\nEnvironment=A=1\n"})
    dropped = act("file", path="/etc/systemd/system/own.service.d/a.conf", source="conf")
    await site.settled(1, "one", dropped, act("unit", name="own.service"))
    now = shown(booted, "own.service")
    assert (now["ActiveState"], now["UnitFileState"]) == ("active", "enabled")
    assert now["MainPID"] != before["MainPID"]
    assert "A=1" in booted.run("systemctl", "show", "own.service", "-p", "Environment")
    await site.settled(2, "one")
    now = shown(booted, "own.service")
    assert (now["ActiveState"], now["UnitFileState"]) == (before["ActiveState"], before["UnitFileState"])
    booted.run("systemctl", "stop", "own.service")
    own.unlink()


async def test_a_service_that_a_program_starts_by_the_manager_outlives_it(site: Lab, booted: Machine) -> None:
    """An installer that forks away is ended; what the service manager starts for it is not below it."""
    site.files("one", {"do.sh": b'#!/bin/sh\nexec "$1" start own2.service\n'})
    (booted.root / "etc/systemd/system/own2.service").write_text(UNIT.format(version="own2", service=GOOD))
    booted.run("systemctl", "daemon-reload")
    tool = str(site.folder / "systemctl")
    await site.settled(1, "one", act("program", name="do", argv=["./do.sh", tool], undo=[tool, "stop", "own2.service"]))
    assert shown(booted, "own2.service")["ActiveState"] == "active"
    await site.settled(2, "one")
    assert shown(booted, "own2.service")["ActiveState"] == "inactive"
