"""The document's shape; what is refused of it: test_assignment_verbs.py."""

from __future__ import annotations

from tiercast_server.desired.document import Assignment, Document, plain, read


def test_a_document_is_what_it_was() -> None:
    one = {"name": "a", "target": "group x", "has": "app >= 2", "rollout": {"waves": ["rest"]}}
    document = read({"groups": [{"name": "x", "members": ["pc1"]}], "assignments": [one]})
    assert read(plain(document)) == document
    (assignment,) = document.assignments
    assert (str(assignment.rule), str(assignment.meant)) == ("has app >= 2", "group x")
    assert Assignment("b", "node x", lacks="app").rule.lacks
    assert read({}) == Document()
