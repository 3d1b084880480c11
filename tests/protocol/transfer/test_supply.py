"""What children want and whether it is at hand."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from tiercast_protocol.transfer.jobs import Job
from tiercast_protocol.transfer.policy import JobPolicy
from tiercast_protocol.transfer.supply import Supply
from tiercast_protocol.transfer.wants import MOST_JOBS

USUAL, URGENT = Job("usual"), Job("urgent")
URGENT.follow(JobPolicy(priority=9), 0.0)

steps = st.lists(
    st.tuples(
        st.sampled_from(["want", "hurry", "unwant", "sent", "found", "absent", "doubt", "ask"]),
        st.sampled_from([b"a", b"b", b"c"]),
        st.sampled_from(["one", "two"]),
    ),
    max_size=60,
)


@settings(max_examples=500)
@given(steps)
def test_a_chunk_is_looked_for_once_and_known_while_wanted(story: list[tuple[str, bytes, str]]) -> None:
    supply = Supply()
    wanted: set[tuple[bytes, str]] = set()
    looking: set[tuple[bytes, Job]] = set()
    asked: set[bytes] = set()
    for step, digest, child in story:
        match step:
            case "want" | "hurry":
                supply.want(digest, child, USUAL if step == "want" else URGENT)
                wanted.add((digest, child))
            case "unwant":
                supply.unwant(digest, child)
                wanted.discard((digest, child))
            case "sent":
                if supply.promised(digest) and (digest, child) in wanted:
                    supply.sent_whole([digest], child)
                    wanted.discard((digest, child))
            case "found":
                supply.found(digest, 7)
                looking = {pair for pair in looking if pair[0] != digest}
            case "absent":
                told = supply.absent(digest)
                assert set(told) == {c for d, c in wanted if d == digest}
                wanted = {(d, c) for d, c in wanted if d != digest}
                looking = {pair for pair in looking if pair[0] != digest}
            case "doubt":
                supply.doubt(digest)
            case _:
                jobs, forget = supply.take_questions()
                find = [(d, job) for job, digests in jobs.items() for d in digests]
                assert len(find) == len(set(find))
                assert not set(find) & looking, "looked for twice for one job"
                # What was found a moment before is forgotten in vain, and that is harmless.
                assert set(forget) <= asked
                assert not {d for d, _ in wanted} & set(forget)
                looking = {pair for pair in looking if pair[0] not in forget} | set(find)
                asked |= {d for d, _ in find}
        assert len(supply) == len({d for d, _ in wanted})


def test_wanted_again_before_it_was_forgotten() -> None:
    supply = Supply()
    supply.want(b"a", "one", USUAL)
    assert supply.take_questions() == ({USUAL: [b"a"]}, ())
    supply.unwant(b"a", "one")
    supply.want(b"a", "two", USUAL)
    assert supply.take_questions() == ({}, ())


def test_wanted_again_for_another_job_it_is_looked_for_that_one_too() -> None:
    supply = Supply()
    supply.want(b"a", "one", USUAL)
    supply.take_questions()
    supply.unwant(b"a", "one")
    supply.want(b"a", "two", URGENT)
    assert supply.take_questions() == ({URGENT: [b"a"]}, ())


def test_a_further_job_asks_again_and_so_many_do() -> None:
    supply = Supply()
    jobs = [Job(f"job-{n}") for n in range(2 * MOST_JOBS)]
    for job in jobs:
        supply.want(b"a", "one", job)
    found, _ = supply.take_questions()
    assert list(found) == jobs[:MOST_JOBS], "the way from above may be shut to one and open to another"
    supply.want(b"a", "two", jobs[1])
    assert supply.take_questions() == ({}, ())
    supply.want(b"a", "two", URGENT)
    assert supply.take_questions() == ({URGENT: [b"a"]}, ()), "an urgent one always"


def test_a_more_urgent_job_asks_again_for_what_is_not_here_yet() -> None:
    supply = Supply()
    supply.want(b"a", "one", USUAL)
    supply.take_questions()
    supply.want(b"a", "two", URGENT)
    supply.want(b"a", "three", USUAL)
    assert supply.take_questions() == ({URGENT: [b"a"]}, ())
    supply.found(b"a", 7)
    supply.doubt(b"a")
    assert supply.take_questions() == ({URGENT: [b"a"], USUAL: [b"a"]}, ())
