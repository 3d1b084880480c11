"""Facts of this machine: read, never guessed, and steady."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from tiercast_endpoint.facts.facts import read_facts, settled


def test_the_facts_are_this_machines(tmp_path: Path) -> None:
    facts = read_facts("pc", tmp_path, {"editor": "2"}, {"site": "berlin"})
    system = os.uname()
    assert (facts.os, facts.kernel, facts.architecture) == (system.sysname.lower(), system.release, system.machine)
    assert (facts.packages, facts.labels, facts.cpus) == ({"editor": "2"}, {"site": "berlin"}, os.cpu_count())
    assert 0 < facts.disk_free <= facts.disk_total
    assert facts.memory > 1 << 20


def test_what_can_not_be_read_is_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError

    for name in ("statvfs", "sysconf"):
        monkeypatch.setattr(os, name, fail)
    monkeypatch.setattr("platform.freedesktop_os_release", fail)
    facts = read_facts("pc", tmp_path, {}, {})
    assert (facts.disk_free, facts.disk_total, facts.memory, facts.distribution, facts.version) == (0, 0, 0, "", "")


def test_what_is_too_much_is_told_as_far_as_it_goes(tmp_path: Path) -> None:
    many = {f"p{number:05}": "1" for number in range(1500)} | {"long": "1" * 300}
    facts = read_facts("pc", tmp_path, many, {})
    assert list(facts.packages) == [f"p{number:05}" for number in range(1000)]


def test_free_bytes_count_by_the_twentieth_of_the_disk(tmp_path: Path) -> None:
    change = msgspec.structs.replace
    said = change(read_facts("pc", tmp_path, {}, {}), disk_free=1000, disk_total=2000)
    assert settled(change(said, disk_free=901), said) == said
    assert settled(change(said, disk_free=1099, cpus=77), said) == change(said, cpus=77)
    assert settled(change(said, disk_free=900), said).disk_free == 900
    assert settled(change(said, disk_free=999), None).disk_free == 999
    assert settled(change(said, disk_free=999, disk_total=3000), said).disk_free == 999
