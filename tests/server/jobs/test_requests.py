"""What jobs were asked with: ids are given once, folders are paths, and one line says what a job is about."""

from __future__ import annotations

from typing import Any

import pytest

from tiercast_protocol.errors import UsageError
from tiercast_server.jobs import requests
from tiercast_server.jobs.requests import Kept, about, check_folder, lasting


@pytest.mark.parametrize(
    ("said", "path"), [("", ""), ("/", ""), ("a", "a"), ("/a/b/", "a/b"), ("Q3 2026/site-1", "Q3 2026/site-1")]
)
def test_folders(said: str, path: str) -> None:
    assert check_folder(said) == path


@pytest.mark.parametrize("said", ["a//b", "..", "a/../b", ".hidden", "a/b/c/d/e/f/g/h/i", "x" * 64, "a\nb", "a%", " a"])
def test_what_is_no_folder(said: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_folder(said)
    assert caught.value.code == "folder.invalid"


def test_what_a_job_is_about() -> None:
    assert about({"package": "hello=1"}) == "hello=1"
    assert about({"options": {"argv": '["/bin/echo", "a  b"]'}}) == "/bin/echo a b"
    assert about({"options": {"argv": "{"}}) == "{"
    assert about({"options": {"text": "one\ntwo"}}) == "one two"
    assert about({"options": {"text": "one", "title": "T"}}) == "T"
    assert about({"type": "restart"}) == ""
    assert lasting({"type": "run", "confirm": 3, "dry_run": True, "folder": "a"}) == {"type": "run"}


async def test_a_draft_has_one_id_until_it_is_forgotten(world: Any) -> None:
    async with world.region.db.write() as connection:
        first = await requests.identity(connection, Kept())
        second = await requests.identity(connection, Kept())
        assert second[1] == first[1] + 1
        await requests.keep(connection, first, Kept({"type": "restart"}, "a/b"), "ann", 5, draft=True)
    async with world.region.db.write() as connection:
        for name in (first[0], f"j{first[1]}", str(first[1])):
            draft = await requests.get_draft(connection, name)
            assert (draft.job, draft.folder, draft.request, draft.created_by) == (
                first[0],
                "a/b",
                {"type": "restart"},
                "ann",
            )
        assert await requests.asked_with(connection, first[0]) == ({"type": "restart"}, "a/b")
        assert [one.job for one in await requests.drafts(connection)] == [first[0]]
        assert await requests.move(connection, first[0], "c")
        assert not await requests.move(connection, "j99", "c")
        assert await requests.identity(connection, Kept(draft=first[0])) == first
        with pytest.raises(UsageError) as caught:
            await requests.identity(connection, Kept(draft=first[0]))
        assert caught.value.code == "draft.unknown"
        assert await requests.asked_with(connection, first[0]) is None
