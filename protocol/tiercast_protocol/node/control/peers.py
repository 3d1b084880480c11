"""Who may do what at a control socket.

Rules
- The kernel says who connects (uid, gid and groups of the process); nothing that the peer says counts.
- root and the daemon's own user are administrators; members of the group "tiercast" are operators;
  everybody else is refused.
- Roles are ordered: an operator may do what a viewer may, an administrator everything.
"""

from __future__ import annotations

import grp
import os
import pwd
from typing import Literal

from tiercast_protocol.node.kernel import Peer

Role = Literal["viewer", "operator", "admin"]
ROLES: tuple[Role, ...] = ("viewer", "operator", "admin")
GROUP = "tiercast"


def allows(held: Role, needed: Role) -> bool:
    """Whether someone of role `held` may do what needs `needed`."""
    return ROLES.index(held) >= ROLES.index(needed)


def role_of(peer: Peer, *, own_uid: int | None = None, group: str = GROUP) -> Role | None:
    """The role of `peer` here; None is nobody."""
    if peer.uid in {0, os.geteuid() if own_uid is None else own_uid}:
        return "admin"
    members = _group(group)
    if members is None:
        return None
    if members.gr_gid in {peer.gid, *peer.groups} or name_of(peer) in members.gr_mem:
        return "operator"
    return None


def name_of(peer: Peer) -> str:
    """The user name of `peer`, for logs; its number when it has none."""
    try:
        return pwd.getpwuid(peer.uid).pw_name
    except KeyError:
        return str(peer.uid)


def group_id(group: str = GROUP) -> int | None:
    """The number of the operators' group, when this machine has one."""
    found = _group(group)
    return found.gr_gid if found is not None else None


def _group(group: str) -> grp.struct_group | None:
    try:
        return grp.getgrnam(group)
    except KeyError:
        return None
