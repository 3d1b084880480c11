"""What machines take of a package: the same table wherever it is asked for, short where there are many."""

from __future__ import annotations

import pytest

from tiercast_cli.shown.takes import print_foreseen


def test_a_dry_run_tells_groups_and_values(capsys: pytest.CaptureFixture[str]) -> None:
    values = {"port": {"text": "8081", "source": "default"}}
    rows = [
        {"node": f"pc-{n:02}", "asked": n > 0, "group": "arm", "values": values, "problem": "" if n < 30 else "no"}
        for n in range(31)
    ]
    print_foreseen({"takes": rows, "takes_more": {"arm": 2, "": 1}})
    said = capsys.readouterr().out
    assert "pc-00  files  arm    of its group" in said
    assert "pc-00  port   8081   default; by what it said last, its settings are not known" in said
    assert "pc-19  port   8081   default\n" in said
    assert "pc-20" not in said
    assert "and 11 more (--json shows all)" in said
    assert "2 more targets by what was said last: the files of arm" in said
    assert "1 more target by what was said last: none, or all, of its files" in said


def test_what_is_the_same_everywhere_is_not_told(capsys: pytest.CaptureFixture[str]) -> None:
    print_foreseen({"targets": 2})
    assert capsys.readouterr().out == ""
