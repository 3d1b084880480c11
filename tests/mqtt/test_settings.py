"""The configuration file: everything in it, and every mistake at once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tiercast_mqtt.limits import Limits
from tiercast_mqtt.password import hash_password
from tiercast_mqtt.settings import Listener, SettingsError, Tls, read_settings


def write(folder: Path, given: object) -> Path:
    path = folder / "broker.json"
    path.write_text(json.dumps(given))
    return path


def test_a_whole_file(tmp_path: Path) -> None:
    settings = read_settings(
        write(
            tmp_path,
            {
                "listen": [
                    {
                        "host": "192.0.2.1",
                        "port": 8883,
                        "tls": {"cert": "c", "key": "k", "ca": "a", "certificate_names": True},
                    },
                    {"host": "::1", "port": 0, "tls": None},
                    {"path": "broker.sock"},
                ],
                "users_file": "users",
                "acl_file": "/etc/acl",
                "client_id_is_username": True,
                "limits": {"filters": 5},
            },
        )
    )
    assert settings.listen == (
        Listener("192.0.2.1", 8883, tls=Tls(tmp_path / "c", tmp_path / "k", tmp_path / "a", True)),
        Listener("::1", 0),
        Listener(path=tmp_path / "broker.sock"),
    )
    assert settings.users_file == tmp_path / "users"
    assert settings.acl_file == Path("/etc/acl")
    assert settings.client_id_is_username
    assert not settings.allow_anonymous
    assert settings.limits == Limits(filters=5)


def test_every_mistake_in_one_pass(tmp_path: Path) -> None:
    given = {
        "listen": [{"host": "", "port": 70_000, "tls": {"cert": "c", "colour": 1}}, {"path": "x", "port": 1}, 5],
        "users": "x",
        "acl_file": 5,
        "allow_anonymous": "yes",
        "sys_interval_s": 0,
        "limits": {"filters": -1},
    }
    with pytest.raises(SettingsError) as caught:
        read_settings(write(tmp_path, given))
    text = str(caught.value)
    for key in (
        "listen[0].host",
        "listen[0].port",
        "listen[0].tls",
        "listen[0].tls.colour",
        "listen[1]",
        "listen[2]",
        "users",
        "acl_file",
        "allow_anonymous",
        "sys_interval_s",
        "limits.filters",
    ):
        assert f"  {key}: " in text


@pytest.mark.parametrize("text", ["", "[]", '{"listen": []}', "{", '{"listen": [{}], "limits": 5}'])
def test_what_is_no_configuration(tmp_path: Path, text: str) -> None:
    (tmp_path / "broker.json").write_text(text)
    with pytest.raises(SettingsError):
        read_settings(tmp_path / "broker.json")


def test_names_by_certificate_need_an_authority(tmp_path: Path) -> None:
    tls = {"cert": "c", "key": "k", "certificate_names": True}
    with pytest.raises(SettingsError, match="expected ca"):
        read_settings(write(tmp_path, {"listen": [{"tls": tls}]}))


def test_access_files_are_read_whole_or_not_at_all(tmp_path: Path) -> None:
    settings = read_settings(write(tmp_path, {"listen": [{}], "users_file": "users", "acl_file": "acl"}))
    with pytest.raises(SettingsError, match="users"):
        settings.read_access()
    (tmp_path / "users").write_text(f"anna:{hash_password('x')}\n")
    (tmp_path / "acl").write_text("topic read a\nnonsense\n")
    with pytest.raises(SettingsError, match="line 2"):
        settings.read_access()
    (tmp_path / "acl").write_text("topic read a\n")
    authenticator, acl = settings.read_access()
    assert set(authenticator.users) == {"anna"}
    assert acl.allows(None, "c", "read", "a")
