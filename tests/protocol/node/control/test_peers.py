"""Roles by what the kernel says."""

from __future__ import annotations

import grp
import os
from types import SimpleNamespace

import pytest

from tiercast_protocol.node.control import peers
from tiercast_protocol.node.kernel import Peer


@pytest.fixture
def operators(monkeypatch: pytest.MonkeyPatch) -> None:
    def getgrnam(name: str) -> SimpleNamespace:
        if name != "ops":
            raise KeyError(name)
        return SimpleNamespace(gr_gid=4711, gr_mem=["nobody"])

    monkeypatch.setattr(grp, "getgrnam", getgrnam)


@pytest.mark.parametrize(
    ("peer", "role"),
    [
        (Peer(1, 0, 0), "admin"),
        (Peer(1, 500, 0), "admin"),
        (Peer(1, 501, 4711), "operator"),
        (Peer(1, 501, 1, (2, 4711)), "operator"),
        (Peer(1, 65534, 65534), "operator"),
        (Peer(1, 501, 1, (2,)), None),
    ],
)
def test_who_is_what(operators: None, peer: Peer, role: str | None) -> None:
    assert peers.role_of(peer, own_uid=500, group="ops") == role


def test_without_the_group_only_we_and_root(operators: None) -> None:
    assert peers.role_of(Peer(1, 501, 4711), own_uid=500, group="none") is None
    assert peers.role_of(Peer(1, os.geteuid(), 1), group="none") == "admin"
    assert peers.group_id("none") is None
    assert peers.group_id("ops") == 4711


def test_roles_are_ordered() -> None:
    assert peers.allows("admin", "viewer")
    assert peers.allows("operator", "operator")
    assert not peers.allows("viewer", "operator")
    assert not peers.allows("operator", "admin")


def test_names() -> None:
    assert peers.name_of(Peer(1, 0, 0)) == "root"
    assert peers.name_of(Peer(1, 3_999_999, 0)) == "3999999"
