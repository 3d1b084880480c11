"""The order in which actions are carried out."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tiercast_endpoint.acting.course import before, course
from tiercast_endpoint.acting.effects import DO, DONE, READY, TAKE, Acted, Effect
from tiercast_protocol.content.package.actiontypes import Action

names = st.lists(st.sampled_from("abcdefg"), unique=True)


def acted(name: str, position: int) -> Acted:
    return Acted("app", f"group:{name}", position, "[]", "t", {})


@given(names, names)
def test_new_ones_in_their_order_then_what_is_left_backwards(old: list[str], new: list[str]) -> None:
    standing = [acted(name, position) for position, name in enumerate(old)]
    actions = [Action("group", (("name", name),)) for name in new]
    deeds = course(standing, actions)
    assert [deed.identity for deed in deeds if deed.kind == DO] == [f"group:{name}" for name in new]
    left = [name for name in reversed(old) if name not in new]
    assert [deed.identity for deed in deeds if deed.kind == TAKE] == [f"group:{name}" for name in left]
    assert [deed.position for deed in deeds] == list(range(len(deeds)))
    assert {deed.identity for deed in deeds if deed.old} == {one.identity for one in standing}
    # Whatever of it was done, what stood before is known again.
    effects = [
        Effect(deed.kind, "app", deed.identity, "[]", "t", deed.position, old=deed.old, phase=DONE) for deed in deeds
    ]
    for count in range(len(deeds) + 1):
        now = {one.identity: one for one in standing}
        for deed in deeds[:count]:
            now.pop(deed.identity, None)
            if deed.kind == DO:
                now[deed.identity] = Acted("app", deed.identity, deed.position, "[new]", "u", {})
        assert before(now.values(), effects[:count]) == standing
    ready = Effect(DO, "app", "group:z", "[]", "t", 0, phase=READY)
    assert before(standing, [ready]) == standing
