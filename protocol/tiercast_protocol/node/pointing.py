"""A human tells a node where a parent is now (docs/protocol.md, section 12).

Rules
- The way out when nobody who could tell it can be reached: home got another address while the node was off, and no
  other candidate lives.
- An address is believed when the parent there proves itself by the region's key, which this node has held since it
  joined: nothing is trusted because it answered first, and what is not proved changes nothing.
- Whoever is known with TLS is not looked for without: the password would go in the clear.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from tiercast_protocol.errors import UsageError
from tiercast_protocol.node.address import TlsFiles, parse_address
from tiercast_protocol.node.asking import ask_for_place
from tiercast_protocol.node.hop import Parent
from tiercast_protocol.node.joined import Enrolled
from tiercast_protocol.node.standing import Standing

_SCHEMES = ("mqtt", "mqtts")


def parent_at(text: str, name: str, standing: Standing) -> Parent:
    """The parent that was meant: `name`, by default home, at HOST:PORT or a URL.

    Raises:
        UsageError: no address, or one without TLS where the parent is known with it.
    """
    name = name or standing.home.parent.name
    known = standing.address_of(name) or standing.home.parent.url
    if "://" not in text:
        scheme = urlsplit(known).scheme
        text = f"{scheme if scheme in _SCHEMES else 'mqtt'}://{text}"
    address = parse_address(text)
    if known.startswith("mqtts://") and not address.tls and address.path is None:
        raise UsageError(
            code="parent.plain",
            what=f"{name} is known at {known}, with TLS; {address} has none: this node's password would be readable.",
            todo="Give mqtts://HOST:PORT.",
        )
    return Parent(name, str(address))


async def prove(parent: Parent, me: Enrolled, tls: TlsFiles) -> None:
    """Check that `parent` is there and is who it says.

    Raises:
        UsageError: parent.unreachable, parent.unproved.
    """
    said = await ask_for_place(
        parent,
        me=me.name,
        region=me.region,
        login=me.login,
        enter=False,
        tls=tls,
        region_key=me.region_key,
    )
    if said.proved:
        return
    if said.heard:
        raise UsageError(
            code="parent.unproved",
            what=f"Who answers there did not prove to be {parent.name} of the region {me.region}: {said.reason}.",
            where=parent.url,
            todo="Nothing was changed.  Ask the region's administrator for the address; name another parent by --name.",
        )
    raise UsageError(
        code="parent.unreachable",
        what=f"{parent.name} can't be reached at {parent.url}: {said.reason}.",
        where=parent.url,
        todo=f"Nothing was changed.  Look whether {parent.name} runs, whether the address is its own broker's, and "
        "whether a fire wall lets this machine there.  Another parent than this one is named by --name.",
    )


def what_to_do(standing: Standing, role: str) -> str:
    """What a human can do about a node of this role that has no parent."""
    home = standing.home.parent.name
    return (
        f"See that {home} runs and can be reached from here.  Has it another address now?  Say it here: "
        f"tiercast-{role} parent set HOST:PORT.  Is it gone for good?  The region's administrator gives this node "
        "another parent (tiercast node move or candidates), and you say that one's address here, with --name."
    )


def lines_of(found: dict[str, Any]) -> list[str]:
    """What `parents` and `parent set` answered, for people."""
    lines = []
    if proved := found.get("proved"):
        lines.append(f"{proved['name']} proved itself at {proved['url']}.")
    state = "connected" if found["connected"] else "not connected"
    lines.append(f"parent      {found['parent']} at {found['url']}, {state}: {found['waiting'] or found['reason']}")
    lines.append(f"home        {found['home']}")
    others = ", ".join(f"{one['name']} at {one['url']}" for one in found["candidates"])
    lines.append(f"candidates  {others or 'none'}")
    lines += [f"tried       {one['name']} at {one['url']}: {one['said']}" for one in found["tried"]]
    if found["todo"]:
        lines.append(f"you can     {found['todo']}")
    return lines
