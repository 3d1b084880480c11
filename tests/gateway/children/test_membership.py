"""Who joins a site-held job: what an expression means, and any story of a job."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiercast_gateway.children import membership
from tiercast_gateway.children.membership import Asked, Ended, Event, Machine, Membership, Ordered, meant, windows
from tiercast_protocol.content.jobs.vouching import Definition, Group
from tiercast_protocol.errors import UsageError

FACTS = (
    '{"name":"%s","os":"linux","distribution":"debian","version":"%s","kernel":"6","architecture":"x86_64","cpus":4,'
    '"memory":8,"disk_free":1,"disk_total":2,"python":"3","agent":"1","packages":{},"labels":{}}'
)
MACHINES = {
    "old": Machine(FACTS % ("old", "11"), home="berlin"),
    "new": Machine(FACTS % ("new", "12"), frozenset({"testers"}), home="berlin"),
    "guest": Machine(FACTS % ("guest", "12")),
}
GROUPS = {
    "dated": Group(where='version == "11"'),
    "testers": Group(self_join=True, members=["old"]),
    "fixed": Group(members=["new", "elsewhere"]),
}


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("group dated", {"old"}),
        ("group testers", {"old", "new"}),
        ("group fixed", {"new"}),
        ("group dated, fixed minus node old", {"new"}),
        ("group testers and below region", {"old", "new"}),
        ("below region", {"old", "new"}),
        ("below hamburg", set()),
        ("not group testers", {"guest"}),
        ('group testers and where (version == "12")', {"new"}),
        ("group unheard or node guest", {"guest"}),
    ],
)
def test_what_an_expression_means_here(text: str, names: set[str]) -> None:
    definition = Definition(target=text, groups=GROUPS, below={"region": ["region", "berlin"], "hamburg": ["hamburg"]})
    assert meant(definition, MACHINES) == names


def test_a_machine_for_which_a_condition_makes_no_sense_is_left_out_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    definition = Definition(target="group g", groups={"g": Group(where="int(version) < 12")})
    odd = MACHINES | {"odd": Machine(FACTS % ("odd", "testing"))}
    assert meant(definition, odd) == {"old"}
    monkeypatch.setattr(membership, "TIME_LIMIT_S", -1.0)
    with pytest.raises(UsageError) as caught:
        meant(definition, odd)
    assert caught.value.code == "condition.slow"
    with pytest.raises(UsageError) as caught:
        meant(Definition(target="group g", groups={"g": Group(where="later_fact == 1")}), odd)
    assert caught.value.code == "fact.unknown"


def test_the_windows_of_its_groups_go_with_a_machine() -> None:
    groups = GROUPS | {"dated": Group(where='version == "11"', window="daily 22:00-05:00")}
    definition = Definition(target="group dated, testers", groups=groups)
    assert windows(definition, MACHINES) == {"old": [("dated", "daily 22:00-05:00")]}


NAMES = st.frozensets(st.sampled_from("abcdef"), max_size=4)
EVENTS = st.lists(st.one_of(NAMES.map(Ordered), NAMES.map(Asked), st.just(Ended())), max_size=25)


@given(EVENTS, st.integers(0, 30))
def test_nobody_is_added_twice_or_after_the_end_or_who_was_ordered(events: list[Event], expires: int) -> None:
    one = Membership(expires)
    added: list[str] = []
    ordered: set[str] = set()
    over = False
    for now, event in enumerate(events):
        commands = one.handle(event, now=now)
        if isinstance(event, Ordered):
            ordered |= event.nodes
        over = over or isinstance(event, Ended)
        for add in commands:
            assert not over
            assert now < expires
            assert isinstance(event, Asked)
            assert set(add.nodes) <= event.nodes - ordered
            added += add.nodes
        if isinstance(event, Asked) and not over and now < expires:
            assert event.nodes <= ordered | set(added), "whoever is meant is in"
    assert len(added) == len(set(added))
