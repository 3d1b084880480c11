"""Facts by program: typed, bounded, and whoever fails is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from tiercast_endpoint.facts.ownfacts import OwnFacts, parsed


def program(folder: Path, name: str, body: str, mode: int = 0o755) -> Path:
    folder.mkdir(exist_ok=True, mode=0o755)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{body}\n", "utf-8")
    path.chmod(mode)
    return path


async def test_programs_say_typed_facts_under_their_own_name(tmp_path: Path) -> None:
    folder = tmp_path / "facts.d"
    program(folder, "rack.sh", 'echo "unit = 4"; echo "# no fact"; echo row=A7; echo "hot=true"; echo "load = 0.5"')
    program(folder, "asset", """echo '{"serial": "X-1", "year": 2021, "leased": false}'; echo warning >&2""")
    program(folder, "readme", "exit 1", mode=0o644)
    found = await OwnFacts(folder).ask()
    assert found.failed == {}
    assert found.facts == {
        "asset.serial": "X-1", "asset.year": 2021, "asset.leased": False,
        "rack.unit": 4, "rack.row": "A7", "rack.hot": True, "rack.load": 0.5,
    }  # fmt: skip


async def test_those_that_fail_are_named_and_keep_nobody_from_being_asked(tmp_path: Path) -> None:
    folder = tmp_path / "facts.d"
    for name, body in {
        "fails": "exit 3",
        "floods": "yes abc=1",
        "hangs": "exec sleep 60",
        "lists": "echo '{\"a\": [1]}'",
        "mumbles": "echo hello there",
        "good": "echo a=1",
        "no json": "echo '{'",
        "many": "seq -f 'a%g=1' 300",
        "killed": "kill -9 $$",
    }.items():
        program(folder, name, body)
    program(folder, "open", "echo a=1", mode=0o777)
    found = await OwnFacts(folder, timeout_s=1.0, limit=5000).ask()
    assert found.facts == {"good.a": 1}
    assert found.failed == {
        "fails": "ended with status 3",
        "floods": "printed more than 5000 bytes",
        "hangs": "was killed after 1 s",
        "killed": "was ended by signal 9",
        "lists": "a is no text of up to 255 letters, number, true or false",
        "many": "more than 200 facts come of all programs",
        "mumbles": "line 1 is no `name = value`: 'hello there'",
        "no json": "its name can't stand before a fact's",
        "open": "others than its owner may write to open",
    }


async def test_they_are_asked_again_when_told_or_when_it_is_long_ago(tmp_path: Path) -> None:
    folder = tmp_path / "facts.d"
    said = program(folder, "n", "echo a=1")
    own = OwnFacts(folder)
    assert (await own.ask()).facts == {"n.a": 1}
    said.write_text("#!/bin/sh\necho a=2\n", "utf-8")
    assert (await own.ask()).facts == {"n.a": 1}
    assert (await own.ask(anew=True)).facts == own.held.facts == {"n.a": 2}
    assert (await OwnFacts(tmp_path / "none").ask()).facts == {}
    often = OwnFacts(folder, every_s=0)
    await often.ask()
    said.unlink()
    assert (await often.ask()).facts == {}


@pytest.mark.parametrize("text", ["a = " + "x" * 300, "=1", "1a=2", '{"a": null}', '{"a b": 1}', '{"a": 1e300}', "{]"])
def test_what_is_no_fact_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parsed(text)
