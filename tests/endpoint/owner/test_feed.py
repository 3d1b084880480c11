"""What changes is told once per change, in words; who does not read loses the oldest."""

from __future__ import annotations

from dataclasses import replace

from tiercast_endpoint.jobs.install import Snapshot, Step
from tiercast_endpoint.jobs.journal import Job
from tiercast_endpoint.owner.choices import Choice
from tiercast_endpoint.owner.feed import MOST, Feed, of_job
from tiercast_protocol.content.jobs.reason import because, packed

JOB = Job(
    *("j1", 1, "install", "hello", "1.0", 1, b"", 0, 10**13, "", "fetching", 0),
    snapshot=Snapshot("install", Step.FETCH),
)


async def test_one_event_per_change() -> None:
    feed = Feed(lambda: 7)
    with feed.watching() as watcher:
        feed.job(JOB)
        feed.job(replace(JOB, done=5, total=9))
        code, detail = packed(because("owner.held", by="alice"))
        feed.job(replace(JOB, state="staged", code=code, detail=detail))
        feed.job(replace(JOB, state="done", finished=5))
        feed.message("j2", "Tonight", "Leave it on.")
        feed.chosen(Choice("j1", held=5, by="alice"))
        told = [await watcher.next() for _ in range(5)]
    assert [one["event"] for one in told] == ["working", "waiting", "ended", "message", "chosen"]
    assert told[1]["says"] == "held by alice, the owner"
    assert {one["at"] for one in told} == {7}


async def test_who_does_not_read_is_told_how_many_he_lost() -> None:
    feed = Feed(lambda: 7)
    with feed.watching() as watcher:
        for number in range(MOST + 3):
            feed.message(f"j{number}", "", "")
        assert await watcher.next() == {"event": "lost", "count": 3}
        assert (await watcher.next())["job"] == "j3"
    feed.message("after", "", "")


def test_an_event_says_how_a_job_ended() -> None:
    ended = of_job(replace(JOB, state="failed", code="chunk.missing", finished=5))
    assert ended["event"] == "ended"
    assert ended["says"], "the words of the catalogue, where the job said none of its own"
    assert of_job(replace(JOB, code="offer.open"))["event"] == "offered"
