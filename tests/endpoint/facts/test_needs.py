"""What a package needs: installed, on its way, failed, or missing."""

from __future__ import annotations

from tiercast_endpoint.facts.needs import Bringer, lack
from tiercast_protocol.content.facts.versions import read_requirement
from tiercast_protocol.content.jobs.reason import freed, todo, words

B2 = read_requirement("b >= 2")


def bringer(job: str, version: str = "2.1", state: str = "fetching", code: str = "") -> Bringer:
    return Bringer(job, "b", version, state, code, state == "fetching")


def test_what_is_installed_decides() -> None:
    assert lack([B2], [], {"b": "2.0"}, []) is None
    assert lack([B2], [], {"b": "2.0"}, [bringer("j1", state="failed")]) is None
    assert lack([], [], {}, []) is None


def test_what_is_on_its_way_keeps_only_the_installation() -> None:
    found = lack([B2], [], {"b": "1"}, [bringer("j2"), bringer("j1", state="failed")])
    assert found is not None
    assert not found.fetch
    assert found.reason.code == "dependency.open"
    assert "j2" in words(found.reason)
    other = lack([B2], [], {}, [bringer("j2", version="1.9")])
    assert other is not None
    assert other.reason.code == "dependency.missing", "a job that brings too old a version brings nothing"


def test_what_failed_is_named_with_its_result() -> None:
    found = lack([B2], [], {}, [bringer("j3", state="failed", code="disk.short")])
    assert found is not None
    assert found.fetch
    assert found.reason.code == "dependency.failed"
    assert words(found.reason) == "needs b >= 2, and j3, which was to install it, ended failed disk.short"
    assert "j3" in todo(found.reason)
    gone = lack([B2], [], {}, [bringer("j3", state="cancelled", code="cancelled")])
    assert gone is not None
    assert words(gone.reason).endswith("to install it, ended cancelled")
    assert freed(found.reason)


def test_what_is_missing_says_what_is_there_instead() -> None:
    found = lack([B2], [], {"b": "1.5"}, [])
    assert found is not None
    assert words(found.reason) == "needs b >= 2, and b 1.5 is installed" or "1.5" in words(found.reason)
    removed = lack([B2], [], {}, [bringer("j1", state="done")])
    assert removed is not None
    assert removed.reason.code == "dependency.missing", "it was installed once, and is no more"


def test_a_conflict_goes_first() -> None:
    found = lack([B2], [read_requirement("rival < 3")], {"rival": "2"}, [])
    assert found is not None
    assert found.reason.code == "conflict.installed"
    assert "rival" in words(found.reason)
    assert lack([], [read_requirement("rival < 3")], {"rival": "3"}, []) is None
