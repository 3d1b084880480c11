"""Topics: who may be called what, and who writes where."""

import pytest

from tiercast_protocol.wire.topics import Topics, valid_name

T = Topics("lab")


@pytest.mark.parametrize("name", ["a", "Site-A", "desk_1.example", "0", "x" * 63])
def test_names(name: str) -> None:
    assert valid_name(name)


@pytest.mark.parametrize(
    "name", ["", "-a", ".a", "_a", "a/b", "a+", "#", "a b", "é", "x" * 64, "a\n", "join-x", "a\0", "$SYS"]
)
def test_no_names(name: str) -> None:
    assert not valid_name(name)


def test_never_change() -> None:
    assert T.up("desk-1") == "tiercast/1/lab/desk-1/up"
    assert T.report("desk-1") == "tiercast/1/lab/desk-1/report"
    assert T.will("desk-1") == "tiercast/1/lab/desk-1/will"
    assert T.down("site-a", "desk-1") == "tiercast/1/lab/site-a/to/desk-1/control"
    assert T.bulk("site-a", "desk-1") == "tiercast/1/lab/site-a/to/desk-1/bulk"
    assert T.group("site-a", 7) == "tiercast/1/lab/site-a/group/7"
    assert T.parent_filters() == ("tiercast/1/lab/+/up", "tiercast/1/lab/+/will")
    assert T.report_filter() == "tiercast/1/lab/+/report"


def test_every_topic_stands_under_its_writer() -> None:
    for topic in (T.up("a"), T.report("a"), T.will("a"), T.down("a", "b"), T.bulk("a", "b"), T.group("a", 1)):
        assert T.sender_of(topic) == "a"


@pytest.mark.parametrize(
    "topic", ["", "tiercast/1/lab", "tiercast/1/lab/a", "tiercast/1/other/a/up", "tiercast/2/lab/a/up", "x/1/lab/a/up"]
)
def test_topics_of_others(topic: str) -> None:
    assert T.sender_of(topic) is None
