"""Which child leads where."""

from __future__ import annotations

from tiercast_gateway.children.routes import Routes
from tiercast_protocol.node.database import Database


async def test_routes_are_learned_replaced_and_found_again(db: Database, routes: Routes) -> None:
    await routes.learn("site", "site")
    await routes.learn("pc", "site")
    await routes.learn("pc", "other")
    await routes.learn("pc", "site")
    again = Routes(db)
    await again.load()
    assert again.all() == {"site": "site", "pc": "site"}
    assert again.via("pc") == "site"
    assert again.via("nobody") is None
    assert again.below("pc", "site")
    assert again.below("site", "site")
    assert not again.below("nobody", "site")
    assert again.children() == ["site"]


async def test_with_a_child_goes_whatever_was_reached_through_it(db: Database, routes: Routes) -> None:
    await routes.learn("site", "site")
    await routes.learn("pc", "site")
    await routes.learn("other", "other")
    await routes.forget(["site", "never heard of"])
    assert routes.all() == {"other": "other"}
    again = Routes(db)
    await again.load()
    assert again.all() == {"other": "other"}
