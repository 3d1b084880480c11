"""Hashes that mosquitto and we both understand."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiercast_mqtt.password import hash_password, parse_hash, parse_users, verify_password


@given(st.text(max_size=30), st.text(max_size=30))
def test_only_the_right_password_verifies(password: str, other: str) -> None:
    hash_ = hash_password(password)
    assert verify_password(password, hash_)
    assert verify_password(password.encode(), hash_)
    assert verify_password(other, hash_) == (other == password)


def test_every_hash_has_a_salt_of_its_own() -> None:
    assert hash_password("x") != hash_password("x")


@pytest.mark.parametrize(
    "hash_",
    [
        "",
        "x",
        "$6$a$b",
        "$7$101$AAAA",
        "$7$0$AAAA$AAAA",
        "$7$-1$AAAA$AAAA",
        "$7$999999999$AAAA$AAAA",
        "$7$101$!$!",
        "$7$²$AA$AA",
    ],
)
def test_what_is_no_hash_verifies_nothing(hash_: str) -> None:
    assert parse_hash(hash_) is None
    assert not verify_password("", hash_)


def test_mosquittos_own_hashes_verify_and_ours_are_its(tmp_path: Path) -> None:
    program = shutil.which("mosquitto_passwd")
    if program is None:
        pytest.fail("mosquitto_passwd is not installed: install the system's package `mosquitto`")
    file = tmp_path / "users"
    subprocess.run([program, "-b", "-c", str(file), "anna", "pass wörd"], check=True, capture_output=True)
    users = parse_users(file.read_text().splitlines())
    assert verify_password("pass wörd", users["anna"])
    assert not verify_password("pass word", users["anna"])
    assert len(users["anna"]) == len(hash_password("x"))


def test_a_users_file_names_its_mistakes_without_the_hash() -> None:
    good = hash_password("x")
    assert parse_users(["# comment", "", f"a:{good}"]) == {"a": good}
    with pytest.raises(ValueError, match=r"^line 2 is not name"):
        parse_users([f"a:{good}", "b:secret"])
    with pytest.raises(ValueError, match="line 2 names a a second time"):
        parse_users([f"a:{good}", f"a:{good}"])
