"""How much goes to each child now."""

from __future__ import annotations

from tiercast_gateway.children.going import SPAN, Going


def test_what_went_in_the_last_seconds_pauses_and_all() -> None:
    going = Going()
    assert going.rates() == {}
    going.look({"pc": 1000}, 0.0)
    assert going.rates() == {}, "one look says nothing of a rate"
    going.look({"pc": 5000}, 0.1)  # too soon to be kept
    going.look({"pc": 3000, "late": 700}, 2.0)
    assert going.rates() == {"pc": 1000, "late": 350}
    for second in range(3, 3 + int(SPAN) + 2):
        going.look({"pc": 3000}, float(second))
    assert going.rates() == {"pc": 0}, "it stopped, and the others left"


def test_a_lane_that_began_anew_counts_from_there() -> None:
    going = Going()
    going.look({"pc": 9000}, 0.0)
    going.look({"pc": 10}, 1.0)
    assert going.rates() == {"pc": 0}
    for second in range(2, 9):
        going.look({"pc": 10 + 100 * (second - 1)}, float(second))
    assert going.rates() == {"pc": 100}


def test_who_looks_after_a_long_time_sees_all_of_it() -> None:
    going = Going()
    going.look({"pc": 0}, 0.0)
    going.look({"pc": 0}, 100.0)
    going.look({"pc": 500}, 105.0)
    assert going.rates() == {"pc": 100}
