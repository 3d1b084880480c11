"""Becoming another user: who there is not, and whom one may not become, is said."""

from __future__ import annotations

import os
import pwd

import pytest

from tiercast_endpoint.jobs.becoming import CanNotBecomeError, command_as, user_named


def test_the_own_user_needs_nothing() -> None:
    user = user_named("")
    assert (user.uid, user.change) == (os.geteuid(), False)
    assert command_as(user, "/bin/true", ["x"])[-5:] == ["", "", "", "/bin/true", "x"]
    assert user.environment()["HOME"]


def test_who_there_is_not_can_not_be_become() -> None:
    with pytest.raises(CanNotBecomeError, match="no user 'no-such-user'"):
        user_named("no-such-user")


def test_only_root_becomes_another(monkeypatch: pytest.MonkeyPatch) -> None:
    nobody = pwd.getpwnam("nobody")
    monkeypatch.setattr(os, "geteuid", lambda: nobody.pw_uid)
    with pytest.raises(CanNotBecomeError, match="only one that is root can"):
        user_named("root")
