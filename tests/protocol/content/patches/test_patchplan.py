"""What is made from what: pairs, regions, limits."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.sealed import like_code, sealed, shifted

from tiercast_protocol.content.package.filegroups import FileGroup
from tiercast_protocol.content.patches import patchplan as plan
from tiercast_protocol.content.patches.patch import MAX_REFERENCE, MAX_RESULT

MIB = 1 << 20


def test_regions_hold_what_is_missing_and_keep_the_limits(tmp_path: Path) -> None:
    old = {"big": like_code(1, 12 * MIB), **{f"lib/m{n}.py": like_code(n, 3000) for n in range(200)}}
    new = {path: shifted(data, 5) if path == "big" or path.endswith("7.py") else data for path, data in old.items()}
    base, result = sealed(tmp_path, old, "1").side(), sealed(tmp_path, new, "2").side()
    tasks = list(plan.content_tasks(base, result))
    lengths, base_lengths = list(result.order.lengths.values()), list(base.order.lengths.values())
    made = [number for task in tasks for number in task.result]
    assert made == [n for n, d in enumerate(result.order.digests) if d not in base.order.lengths]
    assert len(tasks) >= 2
    for task in tasks:
        assert sum(lengths[n] for n in task.result) <= plan.RESULT <= MAX_RESULT
        assert 0 < sum(base_lengths[n] for n in task.reference) <= plan.REFERENCE <= MAX_REFERENCE
        assert task.reference == sorted(set(task.reference))


def test_a_large_file_is_made_from_the_like_place(tmp_path: Path) -> None:
    old = like_code(1, 30 * MIB)
    base = sealed(tmp_path, {"big": old}, "1").side()
    result = sealed(tmp_path, {"big": shifted(old, 2)}, "2").side()
    tasks = list(plan.content_tasks(base, result))
    offsets = {number: at for number, at, _ in base.files["big"].spans}
    result_offsets = {number: at for number, at, _ in result.files["big"].spans}
    for task in tasks:
        first, last = offsets[task.reference[0]], offsets[task.reference[-1]]
        assert first <= result_offsets[task.result[0]]
        assert last >= result_offsets[task.result[-1]] - MIB


@pytest.mark.parametrize(
    ("path", "pair"),
    [
        ("lib/a.py", "lib/a.py"),
        ("pkg-2.1.dist/RECORD", "pkg-2.0.dist/RECORD"),
        ("lib64/libx.so.1.2.4", "lib/libx.so.1.2.3"),
        ("lib/aa.py", "lib/a.py"),
    ],
)
def test_files_are_paired_with_their_relatives(tmp_path: Path, path: str, pair: str) -> None:
    names = ["lib/a.py", "lib/b.txt", "pkg-2.0.dist/RECORD", "lib/libx.so.1.2.3", "zoo/q.bin"]
    old = {name: like_code(n, 100_000) for n, name in enumerate(names)}
    base = sealed(tmp_path, old, "1").side()
    result = sealed(tmp_path, {path: like_code(9, 100_000)}, "2").side()
    task = next(iter(plan.content_tasks(base, result)))
    assert {number for number, _, _ in base.files[pair].spans} <= set(task.reference)


def test_an_empty_base_is_a_base(tmp_path: Path) -> None:
    base, result = sealed(tmp_path, {"e": b""}, "1").side(), sealed(tmp_path, {"f": b"some"}, "2").side()
    assert list(plan.content_tasks(base, result)) == [plan.Task([], [0])]
    assert list(plan.content_tasks(result, base)) == []


def test_the_index_costs_what_changed(tmp_path: Path) -> None:
    old = {f"d{n // 100}/file-{n:05}": like_code(n % 9, 900) + b"%d" % n for n in range(1500)}
    one, two = sealed(tmp_path, old, "1"), sealed(tmp_path, old | {"d7/file-00777": like_code(0, 950)}, "2")
    base, result = one.side(), two.side()
    sizes = [100] * len(result.index), [100] * len(base.index)
    (task,) = plan.index_tasks(base, result, *sizes)
    assert len(base.index) > 3
    assert task.result[0] == task.reference[0] == 0
    assert len(task.result) == len(task.reference) < len(base.index)


def test_a_region_is_for_the_machines_of_one_group(tmp_path: Path) -> None:
    groups = (FileGroup("arm", "arm", 'os == "a"'), FileGroup("pc", "amd64", 'os == "b"'))
    old = {
        f"{part}bin/t{n}": like_code(n + 9 * at, 120_000)
        for at, part in enumerate(("arm/", "amd64/", "lib/"))
        for n in range(3)
    }
    new = {path: shifted(data, 3) for path, data in old.items()}
    base, result = sealed(tmp_path, old, "1", files=groups).side(), sealed(tmp_path, new, "2", files=groups).side()
    tasks = list(plan.content_tasks(base, result))
    whose = [{result.takers(number) for number in task.result} for task in tasks]
    assert whose == [{frozenset({"pc"})}, {frozenset({"arm"})}, {None}]
    for task, (takers,) in zip(tasks, whose, strict=True):
        assert task.reference
        for holders in map(base.takers, task.reference):
            assert holders is None or (takers is not None and takers <= holders)
    made = sorted(number for task in tasks for number in task.result)
    assert made == [n for n, d in enumerate(result.order.digests) if d not in base.order.lengths]
