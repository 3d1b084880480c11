"""What else must be installed: the newest that satisfies all, only where it is missing, dependencies first."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiercast_protocol.content.facts.versions import read_requirement
from tiercast_protocol.errors import UsageError
from tiercast_server.packages.closure import Candidate, Need, newest, resolve


def package(reference: str, *requires: str, conflicts: tuple[str, ...] = ()) -> Candidate:
    name, _, version = reference.partition("=")
    return Candidate(
        name,
        version,
        requires=tuple(map(read_requirement, requires)),
        conflicts=tuple(map(read_requirement, conflicts)),
    )


def library(*packages: Candidate) -> dict[str, list[Candidate]]:
    found: dict[str, list[Candidate]] = {}
    for one in packages:
        found.setdefault(one.name, []).append(one)
    return found


def shown(needs: list[Need]) -> list[tuple[str, tuple[str, ...]]]:
    return [(one.package.reference, one.nodes) for one in needs]


NOTHING: dict[str, frozenset[str]] = {}
A = package("a=1", "b >= 2")


def test_what_is_missing_is_added_where_it_is_missing_dependencies_first() -> None:
    lib = library(A, package("b=1"), package("b=2", "c"), package("b=2.1", "c < 5"), package("c=4"), package("c=5"))
    held = {
        "pc-1": NOTHING,
        "pc-2": {"b": frozenset({"2"})},
        "pc-3": {"b": frozenset({"1"}), "c": frozenset({"3"})},
        "pc-4": {"b": frozenset({"1", "2"})},
    }
    assert shown(resolve(A, lib, held)) == [("c=4", ("pc-1",)), ("b=2.1", ("pc-1", "pc-3"))]


def test_the_newest_that_satisfies_all_is_taken() -> None:
    lib = library(
        package("top=1", "b", "c"), package("b=1", "base >= 1.2"), package("c=1", "base < 1.10"),
        package("base=1.1"), package("base=1.9"), package("base=1.10"),
    )  # fmt: skip
    assert shown(resolve(lib["top"][0], lib, {"pc": NOTHING}))[0] == ("base=1.9", ("pc",))
    assert [one.version for one in newest(lib["base"])] == ["1.10", "1.9", "1.1"]


@pytest.mark.parametrize(
    ("packages", "code", "words"),
    [
        ((A,), "dependency.unsatisfiable", ["a needs b >= 2", "no package is called b", "pc"]),
        ((A, package("b=1")), "dependency.unsatisfiable", ["the library has b 1"]),
        ((A, package("b=2", "c"), package("c=1", "b")), "dependency.cycle", ["b -> c -> b"]),
        ((A, package("b=2", "a")), "dependency.cycle", ["a -> b -> a"]),
        ((A, package("b=2", conflicts=("a",))), "dependency.conflict", ["b=2 conflicts with a, and a=1"]),
    ],
)
def test_what_can_not_be_is_refused_with_names(packages: tuple[Candidate, ...], code: str, words: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        resolve(A, library(*packages), {"pc": NOTHING})
    assert caught.value.code == code
    assert all(word in caught.value.what for word in words), caught.value.what
    assert "Nothing was done." in caught.value.todo


def test_what_no_library_has_is_no_matter_where_it_stands_already() -> None:
    assert resolve(A, library(A), {"pc": {"b": frozenset({"3"})}}) == []


names = st.sampled_from("abcde")
versions = st.sampled_from(["1", "1.5", "2", "3"])
requirements = st.builds(
    lambda name, operator, version: f"{name} {operator} {version}", names, st.sampled_from([">=", "<", "=="]), versions
)
packages = st.lists(
    st.builds(
        lambda name, version, needs: package(f"{name}={version}", *[n for n in needs if not n.startswith(name)]),
        names, versions, st.lists(requirements, max_size=2),
    ),
    max_size=12,
    unique_by=lambda one: one.reference,
)  # fmt: skip


@given(packages, st.lists(requirements, max_size=3), st.dictionaries(names, versions))
def test_with_what_is_added_all_is_satisfied(known: list[Candidate], needs: list[str], there: dict[str, str]) -> None:
    start = package("top=1", *needs)
    held = {"pc": {name: frozenset({version}) for name, version in there.items()}}
    try:
        found = resolve(start, library(*known), held)
    except UsageError as error:
        code = error.code
    else:
        code = "dependency."
        standing = dict(there)
        for need in [*found, Need(start, ("pc",))]:
            for requirement in need.package.requires:
                version = standing.get(requirement.package)
                assert version is not None
                assert requirement.met_by(version), "each finds what it needs, in this order"
            standing[need.package.name] = need.package.version
    assert code.startswith("dependency.")
