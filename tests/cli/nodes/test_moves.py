"""The commands that move nodes."""

from __future__ import annotations

import json

import pytest

from cli_daemon import Daemon


@pytest.mark.parametrize(
    ("words", "verb", "answer", "args", "says"),
    [
        (
            ("move", "pc", "--to", "east"),
            "node.move",
            {"name": "pc", "parent": "east", "was": "west"},
            {"name": "pc", "to": "east"},
            "pc belongs below east now, no longer below west",
        ),
        (
            ("home", "pc", "x", "--below", "west"),
            "node.home",
            {"called": ["pc", "x"], "away": ["pc"]},
            {"names": ["pc", "x"], "below": "west"},
            "Called home: pc; 1 are there already",
        ),
        (
            ("candidates", "pc", "--set", "east, server"),
            "node.candidates",
            {"name": "pc", "home": "west", "candidates": ["east", "server"]},
            {"name": "pc", "candidates": ["east", "server"], "default": False},
            "candidates  east, server",
        ),
        (
            ("candidates", "pc"),
            "node.show",
            {"parent": "west", "candidates": []},
            {"name": "pc"},
            "candidates  none",
        ),
        (
            ("retire", "west", "--children-to", "east"),
            "node.retire",
            {"name": "west", "moving": ["pc"], "to": "east", "removed": False},
            {"name": "west", "children_to": "east"},
            "west retires when these are below east: pc",
        ),
        (
            ("retire", "pc"),
            "node.retire",
            {"name": "pc", "moving": [], "to": "", "removed": True},
            {"name": "pc", "children_to": ""},
            "pc no longer belongs",
        ),
        (
            ("replace", "west", "--valid", "1h"),
            "node.replace",
            {"token": "tcj1-x", "expires": 1, "parent": "server", "url": "u", "children": ["pc"]},
            {"name": "west", "ttl_s": 3600},
            "tiercast-gateway join tcj1-x",
        ),
    ],
)
def test_each_asks_for_one_thing_and_says_what_came_of_it(
    daemon: Daemon, words: tuple[str, ...], verb: str, answer: dict[str, object], args: dict[str, object], says: str
) -> None:
    daemon.answers[verb] = answer
    assert says in daemon.run("node", *words)
    assert daemon.asked[-1] == (verb, args)
    assert json.loads(daemon.run("node", *words, "--json"))
