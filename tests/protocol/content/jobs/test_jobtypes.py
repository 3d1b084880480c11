"""The table of job types and verbs: every cell of it is decided, and the page says the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from tiercast_protocol.content.jobs import jobtypes, order, receipt
from tiercast_protocol.content.jobs.jobtypes import ENDED, RESERVED, STATES, TYPES, VERBS, allowed, check
from tiercast_protocol.errors import UsageError

DOCS = Path(__file__).parents[4] / "docs/jobs.md"

#: What each verb is for, written down a second time: states, and whether content must travel.
EXPECTED = {
    "show": (set(STATES), False),
    "copy": (set(STATES), False),
    "move": (set(STATES), False),
    "template": (set(STATES), False),
    "edit": ({"draft"}, False),
    "start": ({"draft"}, False),
    "watch": (set(STATES) - {"draft"}, False),
    "receipt": (set(STATES) - {"draft"}, False),
    "rerun": (set(STATES) - {"draft"}, False),
    "cancel": ({"open", "cancelling"}, False),
    "commit": ({"open"}, True),
    "accept": ({"open"}, True),
    "undo": ({"open", "cancelling"}, True),
    "set": ({"open", "cancelling"}, True),
    "suspend": ({"open", "cancelling"}, True),
    "resume": (set(STATES) - {"draft"}, True),
    "delete": ({"draft", "done", "failed", "cancelled", "expired"}, False),
}
CODES = {"job.type", "job.draft", "job.open", "job.closed"}


@pytest.mark.parametrize("type_", TYPES)
@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("state", STATES)
def test_every_type_verb_and_state(type_: str, verb: str, state: str) -> None:
    states, content = EXPECTED[verb]
    expected = state in states and (not content or type_ in {"install", "offer", "preload", "repair"})
    assert allowed(verb, type_, state) is expected
    if expected:
        check(verb, type_=type_, state=state, job="j1")
        return
    with pytest.raises(UsageError) as caught:
        check(verb, type_=type_, state=state, job="j1")
    assert caught.value.code in CODES
    assert "j1" in caught.value.what
    assert caught.value.todo


def test_the_refusal_says_which_of_both_is_wrong() -> None:
    def code(verb: str, type_: str, state: str) -> str:
        with pytest.raises(UsageError) as caught:
            check(verb, type_=type_, state=state, job="j1")
        return caught.value.code

    assert code("suspend", "run", "open") == "job.type"
    assert code("cancel", "run", "draft") == "job.draft"
    assert code("delete", "run", "open") == "job.open"
    assert code("start", "run", "open") == "job.open"
    assert {code("cancel", "install", state) for state in ENDED} == {"job.closed"}


def test_types_fit_together() -> None:
    assert {one.opposite for one in TYPES.values() if one.opposite} == {"install", "remove", "preload", "purge"}
    for one in TYPES.values():
        assert one.package or not (one.content or one.opposite)
        if one.opposite:
            assert TYPES[one.opposite].opposite == one.name
            assert TYPES[one.opposite].role == one.role
        assert set(one.steps) <= {state for state, final in receipt.STATES.items() if not final}
    assert order.TYPES - TYPES.keys() == {"cancel"}
    assert jobtypes.with_content() == {"install", "offer", "preload", "repair"}
    assert jobtypes.carried_out_by("gateway") == {"preload", "purge"}
    with pytest.raises(UsageError, match=r"sing.*\n.*install"):
        jobtypes.of("sing")


def test_a_reserved_name_is_told_apart_from_an_unknown_one() -> None:
    assert not RESERVED.keys() & TYPES.keys()
    for name, does in RESERVED.items():
        with pytest.raises(UsageError) as caught:
            jobtypes.of(name)
        assert (caught.value.code, does in caught.value.what) == ("type.reserved", True)
        assert f"| `{name}` | endpoint | {does} | no | no |" in DOCS.read_text()


def tables() -> str:
    """Both tables as the page has them."""
    lines = ["| type | carried out by | does | about a package | content travels |", "|---|---|---|---|---|"]
    for one in TYPES.values():
        yes = ["yes" if flag else "no" for flag in (one.package, one.content)]
        lines.append(f"| `{one.name}` | {one.role} | {one.does} | {yes[0]} | {yes[1]} |")
    lines += ["", f"| verb | does | {' | '.join(STATES)} | types |", "|---|---|" + "---|" * (len(STATES) + 1)]
    for name, verb in VERBS.items():
        cells = " | ".join("yes" if state in verb.states else "-" for state in STATES)
        lines.append(f"| `{name}` | {verb.does} | {cells} | {'those with content' if verb.content else 'all'} |")
    return "\n".join(lines)


def test_the_page_has_the_tables() -> None:
    assert tables() in DOCS.read_text(), tables()
