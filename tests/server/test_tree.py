"""The port: what stands for the tree in tests is called as the real one is."""

import inspect
from typing import Any

from tiercast_server.below import Below
from tiercast_server.tree import Tree

NAMES = [name for name in vars(Tree) if not name.startswith("_")]


def test_the_adapter_and_the_fake_have_the_ports_methods(world: Any) -> None:
    assert {"take_order", "admit", "dismiss", "issue_token", "tell", "ask", "children"} <= set(NAMES)
    for name in NAMES:
        expected = inspect.signature(getattr(Tree, name))
        for type_ in (Below, type(world.tree)):
            found = inspect.signature(getattr(type_, name))
            assert list(found.parameters) == list(expected.parameters), f"{type_.__name__}.{name}"
            assert inspect.iscoroutinefunction(getattr(type_, name)) == inspect.iscoroutinefunction(getattr(Tree, name))
