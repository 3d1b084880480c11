"""What gateways say of their breakers, in the region."""

from __future__ import annotations

from typing import Any

from tests.server.rollouts.test_rollouts import region_of, shown, start

from tiercast_protocol.content.jobs import breaker as b
from tiercast_protocol.content.trust.keys import PrivateKey
from tiercast_protocol.wire.site import BreakersOpened, BreakerTold
from tiercast_server.rollouts.sites import Sites


def told(key: PrivateKey, rollout: str, seq: int, *, shut: bool = True, **more: Any) -> BreakerTold:
    fields: dict[str, Any] = {
        "region": "r",
        "node": "west",
        "generation": 1,
        "rollout": rollout,
        "seq": seq,
        "at": 5,
    }
    trip = b.Trip(**{**fields, "shut": shut, "bad": 1, "total": 4, "limit": "1", **more})
    data, signature = b.sign_trip(trip, key)
    return BreakerTold(node="west", data=data, signature=signature)


async def test_the_orders_of_a_wave_carry_the_limit_of_a_site(world: Any) -> None:
    await region_of(world)
    made = await start(world, "2", "rest", site_number=3, site_share=5_000)
    ((order, _),) = world.orders()[-1:]
    assert b.rollout_of(order.options) == made["rollout"]
    assert b.limit_of(order.options) == b.Limit(3, 5_000)
    assert (await shown(world, made["rollout"]))["rules"]["stop_at_site"] == "5% or 3"


async def test_a_site_is_shown_as_held_until_it_says_otherwise(world: Any) -> None:
    await region_of(world)
    made = await start(world, "rest", site_number=1)
    rollout, sites = made["rollout"], Sites(world.region, world.changes)
    key = world.nodes["west"].key
    await sites.told(told(PrivateKey.generate(), rollout, 9))
    await sites.told(told(key, rollout, 9, generation=7))
    await sites.told(told(key, rollout, 9, region="other"))
    assert sites.refused == 3
    assert (await shown(world, rollout))["held"] == []
    await sites.told(told(key, rollout, 2))
    held = [{"node": "west", "since": 5, "bad": 1, "total": 4, "stop_at": "1"}]
    assert (await shown(world, rollout))["held"] == held
    await sites.told(told(key, rollout, 1, shut=False))
    assert (await shown(world, rollout))["held"] == held, "a late word changes nothing"
    await sites.told(told(key, "r77-0000", 1))
    await sites.told(told(key, rollout, 3, shut=False))
    assert (await shown(world, rollout))["held"] == []


async def test_resume_is_a_signed_word_to_every_gateway_and_is_in_later_orders(world: Any) -> None:
    await region_of(world)
    made = await start(world, "2", "rest", site_number=1, by_hand=True)
    await world.rollouts.say(made["rollout"], "resume")
    await world.rollouts.say(made["rollout"], "resume")
    await world.handover.drain()
    words = [b.open_again(word.data, word.signature, world.region.key.public) for word in world.tree.of(BreakersOpened)]
    assert [(word.rollout, word.again) for word in words] == [(made["rollout"], 1), (made["rollout"], 2)]
    await world.rollouts.say(made["rollout"], "next")
    await world.handover.drain()
    assert world.orders()[-1][0].options[b.AGAIN] == 2


async def test_the_orders_of_a_wave_name_what_they_replace(world: Any) -> None:
    await region_of(world)
    await world.package("app", "0")
    for name, version in (("pc1", "0"), ("pc2", "0.5")):
        await world.says(name, packages={"app": version})
    await start(world, "rest", package="app=1")
    order, _ = world.orders()[-1]
    assert order.options[b.FORMERS] == "0,0.5"
    assert b.ROLLOUT not in order.options
