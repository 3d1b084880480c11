"""What is typed of conditions and of the owner's limits, and what `job show` says of them."""

from __future__ import annotations

import pytest

from tiercast_cli.said.provisos import OF_OWNER, OF_REPLACING, provisos_of, provisos_shown
from tiercast_protocol.content.jobs.provisos import JOB_WORDS, read
from tiercast_protocol.errors import UsageError


def test_every_word_of_a_job_can_be_typed_and_is_read() -> None:
    assert OF_OWNER.keys() | OF_REPLACING.keys() == JOB_WORDS
    given = {
        "condition": "cpus > 1",
        "condition_false": "Skip",
        "defer_max": "3",
        "defer_until": "2026-12-24 18:00",
        "rejectable": True,
        "replace": "Newer",
    }
    said = provisos_of(given, now=1_790_000_000)
    assert said.keys() == JOB_WORDS
    found = read(said)
    assert (found.conditions, found.skip, found.defer_max, found.rejectable) == (("cpus > 1",), True, 3, True)
    assert found.defer_until > 1_790_000_000_000


def test_nothing_typed_says_nothing() -> None:
    assert provisos_of({name: default for name, (_, default) in OF_OWNER.items()}) == {}
    assert provisos_shown({}) == []


@pytest.mark.parametrize("given", [{"defer_max": "many"}, {"defer_until": "soon"}])
def test_what_can_not_be_meant_is_refused(given: dict[str, str]) -> None:
    with pytest.raises(UsageError):
        provisos_of(given)


def test_what_is_shown() -> None:
    options = {
        "condition": "cpus > 1",
        "package_condition": "memory > 2",
        "condition_false": "skip",
        "package_requires": "a >= 1",
        "defer_max": 0,
        "rejectable": True,
    }
    assert provisos_shown({"options": options}) == [
        "condition: cpus > 1 (else skipped)",
        "the package's condition: memory > 2 (else skipped)",
        "needs a >= 1",
        "owner: deferred 0 times at most, may be rejected",
    ]
