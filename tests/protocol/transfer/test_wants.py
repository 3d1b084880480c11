"""What a child asks for first, and how much of it at once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tiercast_protocol.transfer.policy import JobPolicy
from tiercast_protocol.transfer.wants import MOST_JOBS, Wants

D = [n.to_bytes(32) for n in range(40)]


def wants(most: int = 8) -> Wants:
    made = Wants(most)
    made.follow("urgent", JobPolicy(priority=9))
    made.follow("low", JobPolicy(priority=1))
    return made


def test_the_more_urgent_job_is_asked_for_first() -> None:
    one = wants()
    for digest, job in zip(D, ["low", "", "urgent", "low", "", "urgent"], strict=False):
        one.want(digest, job)
    assert one.next() == [D[2], D[5], D[1], D[4], D[0], D[3]]
    said = one.for_each([D[2], D[5], D[1], D[0]])
    assert one.runs([job for _, job in said]) == [("urgent", 2), ("", 1), ("low", 1)]
    assert one.runs(["", ""]) == []


def test_a_chunk_of_several_jobs_is_said_for_each_and_kept_for_so_many() -> None:
    one = wants()
    one.want(D[0], "low")
    one.want(D[0], "first")
    assert not one.want(D[0], "second"), "it waits here: nothing is said yet"
    one.next()
    assert one.for_each([D[0]]) == [(D[0], "first"), (D[0], "low"), (D[0], "second")]
    assert not one.want(D[0], "second"), "it is known"
    assert one.want(D[0], "urgent")
    assert [job for _, job in one.for_each([D[0]])] == ["urgent", "low", "second", "first"]
    assert one.for_each_hole([(D[0], 3, 4)])[0] == ((D[0], 3, 4), "urgent")
    for n in range(2 * MOST_JOBS):
        one.want(D[0], f"job-{n}")
    assert len(one.for_each([D[0]])) == MOST_JOBS
    assert one.for_each([D[0]])[-1] == (D[0], f"job-{2 * MOST_JOBS - 1}"), "the newest are kept"
    one.settled(D[0])
    assert one.for_each([D[0]]) == [(D[0], "urgent")]


def test_a_reserve_lets_the_urgent_pass_those_that_are_asked() -> None:
    one = wants(8)
    for digest in D[:20]:
        one.want(digest, "low")
    assert len(one.next()) == 8
    assert one.next() == []
    for digest in D[20:]:
        one.want(digest, "urgent")
    assert one.next() == D[20:28]
    assert one.next() == [], "the reserve is bounded"
    for digest in D[20:26]:
        one.gone(digest)
    assert one.next() == D[28:34]


def test_a_chunk_moves_to_the_more_urgent_job_only() -> None:
    one = wants()
    one.want(D[0], "")
    one.want(D[0], "low")
    assert one.waiting[D[0]] == ""
    one.want(D[0], "urgent")
    assert one.next() == [D[0]]
    assert one.asked[D[0]] == "urgent"
    assert not one.want(D[0], ""), "it is known of that one"
    assert one.asked[D[0]] == "urgent"
    one.want(D[1], "")
    one.next()
    assert one.want(D[1], "urgent"), "it is asked for again"


steps = st.tuples(
    st.sampled_from(["want", "next", "all", "gone", "unwait", "early"]),
    st.sampled_from(D),
    st.sampled_from(["", "low", "urgent"]),
)


@given(st.lists(steps, max_size=80))
def test_a_chunk_is_in_one_place_and_counted_there(story: list[tuple[str, bytes, str]]) -> None:
    one = wants(6)
    for step, digest, job in story:
        match step:
            case "want":
                one.want(digest, job)
            case "next" | "all":
                found = one.next(all_=step == "all")
                assert all(asked in one.asked for asked in found)
            case "gone":
                one.gone(digest)
            case "early" if (before := one.unwait(digest)) is not None:
                one.ask(digest, before)
            case _:
                one.unwait(digest)
        assert not set(one.asked) & set(one.waiting)
        assert sum(one._counts.values()) == len(one.asked)
        assert {d: j for j, queue in one._queues.items() for d in queue} == one.waiting
