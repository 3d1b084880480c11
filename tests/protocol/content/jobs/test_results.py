"""The codes of results: the catalogue, the code of all tiers and the page say the same."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tiercast_protocol.content.jobs.receipt import STATES
from tiercast_protocol.content.jobs.results import RESULTS
from tiercast_protocol.content.jobs.waiting import ENDPOINT, GATEWAY, KINDS, SERVER

ROOT = Path(__file__).resolve().parents[4]
#: Which argument of which call is the code of a result; `code=` counts for all.
CALLS = {"Outcome": 1, "StepFailed": 1, "StepDone": 9, "Failed": 0, "TreeError": 0, "CloseTargets": 1, "_finish": 3}
CALLS |= {"ActError": 0, "_CanNotRunError": 0, "Allowed": 2, "Refusal": 0, "No": 0}
#: Passed on from another call that is looked at.
PASSED_ON = {"code", "error", "event", "outcome", "last", "job", "self", "allowed", "after", "verdict", "reason"}


def constants_of(tree: ast.Module) -> dict[str, set[str]]:
    """Every text that is assigned to a name anywhere, also as the first of several."""
    found: dict[str, set[str]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            target, value = node.targets[0], node.value
            if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
                target, value = target.elts[0], value.elts[0]
            if isinstance(target, ast.Name) and isinstance(value, ast.Constant) and isinstance(value.value, str):
                found.setdefault(target.id, set()).add(value.value)
    return found


def codes_of(path: Path) -> Iterator[tuple[str, str]]:
    """(code, where) of every result that a source file makes."""
    tree = ast.parse(path.read_text())
    constants = constants_of(tree)
    for call in ast.walk(tree):
        if not isinstance(call, ast.Call):
            continue
        name = getattr(call.func, "id", None) or getattr(call.func, "attr", "")
        if name not in CALLS and name != "replace":
            continue
        given = [keyword.value for keyword in call.keywords if keyword.arg == "code"]
        if name in CALLS and len(call.args) > CALLS[name]:
            given.append(call.args[CALLS[name]])
        for argument in given:
            where = f"{path.relative_to(ROOT)}:{argument.lineno}"
            if isinstance(argument, ast.Constant):
                yield str(argument.value), where
            elif isinstance(argument, ast.Name) and argument.id in constants:
                yield from ((code, where) for code in constants[argument.id])
            else:
                root = next((n.id for n in ast.walk(argument) if isinstance(n, ast.Name)), "")
                assert root in PASSED_ON, f"{where}: a code that can't be found here: {ast.unparse(argument)}"


def made() -> dict[str, str]:
    """Every code of a result in the source of all tiers."""
    found: dict[str, str] = {}
    for room in ("endpoint/tiercast_endpoint", "server/tiercast_server"):
        for path in sorted((ROOT / room).rglob("*.py")):
            found |= dict(codes_of(path))
    gateway = ROOT / "gateway/tiercast_gateway"
    found |= dict(codes_of(gateway / "orders/work.py"))
    # what a depot refuses to drop ends as the result of a purge
    for name in ("depot/room.py", "depot/depot.py"):
        found |= dict.fromkeys(re.findall(r'code="(depot\.[a-z]+)"', (gateway / name).read_text()), name)
    found |= dict.fromkeys(
        re.findall(r'UsageError\(code="([a-z.]+)"', (gateway / "orders/work.py").read_text()), "work.py"
    )
    # options that can't be read are refused with the code that the server would refuse them with
    actions = (ROOT / "protocol/tiercast_protocol/content/package/actions.py").read_text()
    found |= dict.fromkeys(re.findall(r'_wrong\(\s*"([a-z.]+)"', actions), "actions.py")
    # what of a package is for no machine, or can't be filled in there, fails with the code that it was refused with
    for place in (
        "protocol/tiercast_protocol/content/package/variables.py",
        "endpoint/tiercast_endpoint/trees/selection.py",
    ):
        codes = re.findall(r'"((?:variable|platform)\.(?:unset|invalid|none))"', (ROOT / place).read_text())
        found |= dict.fromkeys(codes, place)
    # what an installer leaves out is said by its kind
    found |= dict.fromkeys(("deb.missing", "rpm.missing"), "acting/installers.py")
    # the region closes the targets of a node that leaves by a statement of its own
    jobs = (ROOT / "server/tiercast_server/jobs/jobs.py").read_text()
    found |= dict.fromkeys(re.findall(r'state="cancelled",\s+code="([a-z.]+)"', jobs), "jobs.py")
    return found


def test_every_code_that_is_made_stands_in_the_catalogue_and_the_other_way_round() -> None:
    found = made()
    assert found.keys() - RESULTS.keys() == set(), {code: found[code] for code in found.keys() - RESULTS.keys()}
    assert RESULTS.keys() - found.keys() - {""} == set(), "a row that nobody makes"


def test_every_row_is_whole() -> None:
    for code, row in RESULTS.items():
        assert len(code) <= 64
        assert re.fullmatch(r"|[a-z]+([.-][a-z]+)*", code), code
        assert row.states, code
        assert all(STATES[state] for state in row.states), code
        assert set(row.tiers) <= {ENDPOINT, GATEWAY, SERVER}, code
        assert row.means.endswith("."), code
        assert not row.todo or row.todo.endswith("."), code
    assert not RESULTS.keys() & KINDS.keys(), "a code is a reason or a result"


def line(code: str) -> str:
    """The row of the page."""
    row = RESULTS[code]
    shown = f"`{code}`" if code else "(none)"
    cells = (shown, ", ".join(row.states), ", ".join(row.tiers), row.means, row.todo)
    return f"| {' | '.join(cells)} |".replace("  |", " |")


def test_the_page_is_the_catalogue() -> None:
    page = (ROOT / "docs" / "result-codes.md").read_text().splitlines()
    table = [row for row in page if row.startswith(("| `", "| (none)"))]
    assert table == [line(code) for code in sorted(RESULTS)], "see `line` in this test for what a row looks like"
