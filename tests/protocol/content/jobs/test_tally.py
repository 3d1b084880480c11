"""Questions about inventories: counted, grouped, bounded."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiercast_protocol.content.facts.condition import compile_condition, compile_value
from tiercast_protocol.content.jobs.tally import meant, tally
from tiercast_protocol.errors import UsageError


def rows(*machines: Mapping[str, object]) -> list[tuple[str, str]]:
    return [(f"pc-{n}", json.dumps({"name": f"pc-{n}", **one})) for n, one in enumerate(machines)]


MACHINES = rows(
    {"os": "linux", "memory": 8_000_000_000, "packages": {"editor": "2"}, "software": {"openssl": "3", "zlib": "1"}},
    {"os": "linux", "memory": 4_000_000_000, "packages": {"editor": "1"}, "software": {"openssl": "3"}},
    {"os": "windows", "memory": 8_000_000_000, "packages": {}},
)


@pytest.mark.parametrize(
    ("by", "groups", "unknown"),
    [
        ("os", {"linux": 2, "windows": 1}, {}),
        ("memory / 1000000000", {"8": 2, "4": 1}, {}),
        ('packages["editor"]', {"1": 1, "2": 1}, {"editor": 1}),
        ('"editor" in packages', {"true": 2, "false": 1}, {}),
        ("software", {"openssl 3": 2, "zlib 1": 1}, {"software": 1}),
        ("double(memory) / 3.0e9", {"2.66667": 2, "1.33333": 1}, {}),
        ("labels", {}, {"labels": 3}),
    ],
)
def test_by_what_it_comes_to(by: str, groups: dict[str, int], unknown: dict[str, int]) -> None:
    found = tally(MACHINES, compile_value(by))
    assert (found.machines, found.groups, found.unknown) == (3, Counter(groups), Counter(unknown))


def test_only_those_that_are_meant() -> None:
    found = tally(MACHINES, compile_value("os"), compile_condition('packages["editor"] == "2"'))
    assert found.shown() == {
        "machines": 1,
        "groups": [{"value": "linux", "machines": 1}],
        "others": 0,
        "unknown": {"editor": 1},
    }
    assert len(meant(MACHINES, None, Counter())) == 3


def test_what_can_not_be_a_group_is_told() -> None:
    with pytest.raises(UsageError) as caught:
        tally(MACHINES, compile_value("[os, name]"))
    assert caught.value.code == "by.invalid"
    with pytest.raises(UsageError):
        tally(MACHINES, compile_value("os + 1"))


@given(st.lists(st.sampled_from(["a", "b", "c", None])), st.integers(0, 4))
def test_every_machine_is_in_one_group_or_unknown(values: list[str | None], most: int) -> None:
    found = tally(rows(*({"os": value} if value else {} for value in values)), compile_value("os"))
    assert found.groups.total() + found.unknown.total() == found.machines == len(values)
    shown = found.shown(most)
    counts = [row["machines"] for row in shown["groups"]]
    assert counts == sorted(counts, reverse=True)
    assert len(counts) + shown["others"] == len(found.groups)
