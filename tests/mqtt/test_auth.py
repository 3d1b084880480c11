"""Who is let in, and who may stay."""

from __future__ import annotations

from tiercast_mqtt.auth import Authenticator, Login
from tiercast_mqtt.packets import Connect
from tiercast_mqtt.password import hash_password

USERS = Authenticator({"anna": hash_password("right")})


def test_a_password_lets_in_only_its_user() -> None:
    assert USERS.login(Connect("c", username="anna", password=b"right")) == Login(True, "anna")
    assert not USERS.login(Connect("c", username="anna", password=b"wrong")).accepted
    assert not USERS.login(Connect("c", username="anna")).accepted
    assert not USERS.login(Connect("c", username="bob", password=b"right")).accepted
    assert not USERS.login(Connect("c", username="bob", password=b"nobody has this one")).accepted
    assert not USERS.login(Connect("c")).accepted


def test_without_a_name_only_where_that_is_allowed() -> None:
    assert Authenticator(allow_anonymous=True).login(Connect("c")) == Login(True, None)
    assert not Authenticator(allow_anonymous=True).login(Connect("c", username="x")).accepted


def test_the_certificate_decides_where_it_is_used() -> None:
    assert USERS.login(Connect("c"), certificate_name="node") == Login(True, "node")
    assert USERS.login(Connect("c", username="node"), certificate_name="node").accepted
    assert not USERS.login(Connect("c", username="anna", password=b"right"), certificate_name="node").accepted
    assert not USERS.login(Connect("c"), certificate_name="").accepted


def test_who_may_stay_after_a_reload() -> None:
    assert USERS.still_valid("anna", USERS)
    assert not USERS.still_valid("anna", Authenticator({"anna": hash_password("right")}))
    assert not USERS.still_valid("anna", Authenticator())
    assert not USERS.still_valid(None, USERS)
