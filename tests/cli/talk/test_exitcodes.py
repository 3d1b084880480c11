"""What an exit code says: one rule for every error code of the product."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from tiercast_cli.talk import exitcodes
from tiercast_cli.talk.exitcodes import ExitCode, exit_code_of, known

ROOT = Path(__file__).resolve().parents[3]
ROOMS = ("protocol", "gateway", "server", "endpoint", "cli")


def _names(call: ast.Call) -> str:
    return str(getattr(call.func, "id", getattr(call.func, "attr", "")))


def _code_of(call: ast.Call) -> ast.expr:
    given = [keyword.value for keyword in call.keywords if keyword.arg == "code"]
    return given[0] if given else call.args[0]


@cache
def raised() -> dict[str, str]:
    """Every code that the source raises, and where; `times.*` and `*.unknown` stand for what is put together there."""
    trees = {path: ast.parse(path.read_text("utf-8")) for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))}
    makers = {path: _makers(tree) for path, tree in trees.items()}
    shared = {name: at for own in makers.values() for name, at in own.items() if not name.startswith("_")}
    found: dict[str, str] = {}
    for path, tree in trees.items():
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
            at = {**shared, **makers[path]}.get(_names(call))
            spelled = _spelled(_code_of(call)) if _names(call) == "UsageError" else []
            if at is not None and len(call.args) > at:
                spelled = [code for code in _spelled(call.args[at]) if re.fullmatch(r"[a-z_]+\.[a-z_-]+", code)]
            found |= {code: f"{path.relative_to(ROOT)}:{call.lineno}" for code in spelled}
    return found


def _makers(tree: ast.Module) -> dict[str, int]:
    """Functions that raise a code that they are given, and as which of their arguments."""
    found: dict[str, int] = {}
    for function in (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)):
        names = [one.arg for one in function.args.args if one.arg not in {"self", "cls"}]
        for call in (node for node in ast.walk(function) if isinstance(node, ast.Call)):
            if _names(call) == "UsageError" and isinstance(code := _code_of(call), ast.Name) and code.id in names:
                found[function.name] = names.index(code.id)
    return found


def _spelled(code: ast.expr) -> list[str]:
    if isinstance(code, ast.Constant):
        return [str(code.value)]
    if isinstance(code, ast.IfExp):
        return [*_spelled(code.body), *_spelled(code.orelse)]
    if isinstance(code, ast.BoolOp):
        return [spelled for value in code.values for spelled in _spelled(value)]
    if isinstance(code, ast.JoinedStr):
        return ["".join(str(part.value) if isinstance(part, ast.Constant) else "*" for part in code.values)]
    return []


def test_every_code_that_is_raised_has_one_exit_code_by_the_rule() -> None:
    codes = raised()
    assert len(codes) > 250, "the source was read"
    assert {"package.unknown", "times.*", "*.unknown", "run.argv", "plan.cyclic", "file.type"} <= codes.keys()
    strange = {code: place for code, place in codes.items() if not known(code)}
    assert strange == {}, "say in exitcodes.py whether it was said wrongly, or stands against it"
    assert all(re.fullmatch(r"[a-z*]+(\.[a-z_*-]+)?", code) for code in codes), codes


def test_the_rules_name_nothing_that_is_not_raised() -> None:
    codes = raised()
    nouns = {code.partition(".")[0] for code in codes}
    words = {code.partition(".")[2] for code in codes}
    assert exitcodes._NOUNS.keys() <= nouns, exitcodes._NOUNS.keys() - nouns
    assert exitcodes._WORDS.keys() <= words, exitcodes._WORDS.keys() - words
    assert exitcodes._CODES.keys() <= codes.keys(), exitcodes._CODES.keys() - codes.keys()


def test_what_is_put_together_goes_by_its_noun_or_by_its_word() -> None:
    for code in (code for code in raised() if "*" in code):
        noun, _, word = code.partition(".")
        assert (noun in exitcodes._NOUNS) or (word in exitcodes._WORDS), code


@pytest.mark.parametrize(
    ("codes", "exit_code"),
    [
        ("daemon.unreachable host.unreachable host.command", ExitCode.UNREACHABLE),
        # it can't be read, is out of bounds, or is of another kind
        (
            "target.syntax time.invalid wave.share wave.number wave.empty job.empty job.type type.unknown",
            ExitCode.USAGE,
        ),
        # a name that there is not
        ("package.unknown node.unknown group.unknown job.unknown rollout.unknown plan.unknown", ExitCode.USAGE),
        # times that can't be kept, and what must be said and was not
        ("times.past times.deadline window.apart confirm.missing confirm.wrong rerun.which", ExitCode.USAGE),
        # what stands
        (
            "job.conflict rollout.conflict package.exists group.exists node.in-use job.closed part.ended",
            ExitCode.FAILED,
        ),
        ("dependency.needed dependency.unsatisfiable depot.needed depot.small tree.cyclic", ExitCode.FAILED),
        ("rollout.ended rollout.nobody plan.open plan.closed job.rollout rerun.nobody role.missing", ExitCode.FAILED),
        # what broke, and what nobody here knows
        ("internal store.full control.busy tree.changed of.a-later-version", ExitCode.FAILED),
    ],
)
def test_an_error_code_maps_to_one_exit_code(codes: str, exit_code: ExitCode) -> None:
    for code in codes.split():
        assert exit_code_of(code) is exit_code, code
