"""What a suspension covers, when it ends, and what is said of it below."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tiercast_gateway.steering import holds as h
from tiercast_gateway.steering.holds import Hold
from tiercast_protocol.wire.messages import HoldEntry

VIA = {"mid": "mid", "pc": "pc", "low": "mid", "deep": "mid"}


def test_below_is_told_what_covers_it_or_something_there() -> None:
    found = [
        Hold(node="mid", by="a", of="mid"),
        Hold("j1", "low", until=5),
        Hold("j2", ""),
        Hold("", "pc"),
        Hold("", "mid", link=True),
        Hold("j9", "stranger"),
    ]
    assert h.below(found, "mid", VIA.get) == [
        HoldEntry(by="a", of="mid"),
        HoldEntry(job="j1", node="low", until=5),
        HoldEntry(job="j2"),
    ]
    assert h.below(found, "pc", VIA.get) == [HoldEntry(), HoldEntry(job="j2")]


def test_the_one_that_lasts_is_said() -> None:
    for holds in ([Hold(until=5), Hold(node="mid")], [Hold(node="mid"), Hold(until=5)]):
        assert h.below(holds, "mid", VIA.get) == [HoldEntry()]
    assert h.below([Hold(until=5), Hold(node="mid", until=9)], "mid", VIA.get) == [HoldEntry(until=9)]


def test_it_ends_by_itself_and_about_oneself_is_about_all_below() -> None:
    holds = [Hold(node="me", until=100), Hold("j", "pc", 200), Hold("", "me", link=True)]
    assert h.standing(holds, "me", 99) == [Hold(until=100), *holds[1:]]
    assert h.standing(holds, "me", 100) == holds[1:]
    assert h.standing(holds, "me", 200) == holds[2:]


def test_a_parents_list_is_bounded() -> None:
    entries = [HoldEntry(job="j" * 1000, until=-5)] * (h.MOST_HOLDS + 5)
    found = h.of_entries(entries)
    assert len(found) == h.MOST_HOLDS
    assert (len(found[0].job), found[0].until) == (255, 0)


holds_ = st.builds(
    Hold, st.sampled_from(["", "j1", "j2"]), st.sampled_from(["", *VIA]), st.integers(0, 9), link=st.booleans()
)


@given(st.lists(holds_, max_size=8), st.integers(0, 9))
def test_kept_and_read_again_it_says_the_same_below(holds: list[Hold], now: int) -> None:
    again = [h.of_body(hold.body()) for hold in holds]
    standing = h.standing(again, "me", now)
    assert standing == h.standing(holds, "me", now)
    told = h.standing(h.of_entries(h.below(standing, "mid", VIA.get)), "mid", now)
    for node in ("low", "deep"):
        for job in ("", "j1", "j2"):
            above = any(not hold.link and hold.job in {"", job} and hold.node in {"", "mid", node} for hold in standing)
            assert above == any(hold.job in {"", job} and hold.covers(node) for hold in told)
