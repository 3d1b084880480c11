"""`tiercast owner list`, and what a job shows of its owners."""

from __future__ import annotations

from typing import Any

import pytest
from typer.testing import CliRunner

from tiercast_cli.nodes import owners
from tiercast_cli.shown import words
from tiercast_protocol.content.jobs.chosen import Chosen, Said, summary

ROW = Said(
    job="j1", package="editor", version="2", node="pc-1", site="berlin", state="staged", ended=False,
    chosen=Chosen(times=2, until=1 << 50, by="alice"),
)  # fmt: skip


def run(monkeypatch: pytest.MonkeyPatch, answer: Any, *words_: str) -> str:
    async def ask(verb: str, **args: Any) -> Any:
        assert verb == "owner.said"
        assert args["by"] in {"site", "group", "job"}
        return answer

    monkeypatch.setattr(owners, "ask", ask)
    done = CliRunner().invoke(owners.app, ["list", *words_])
    assert done.exit_code == 0, done.output
    return done.output


def test_it_says_who_put_what_off(monkeypatch: pytest.MonkeyPatch) -> None:
    said = run(monkeypatch, summary([ROW], by="site", now=5, most=1))
    assert "berlin" in said
    assert "alice: deferred twice, until" in said
    assert run(monkeypatch, summary([], by="site", now=5, most=1)) == "No owner puts anything off.\n"
    assert '"deferred": 1' in run(monkeypatch, summary([ROW], by="site", now=5, most=1), "--json")


def test_a_choice_in_words() -> None:
    assert words.chosen(None) == ""
    assert words.chosen(Chosen(prefers=True).shown()) == "(the owner: waits for the times that he prefers)"
    assert words.chosen(Chosen(answer="declined", by="bob").shown()) == "(bob: declined)"
