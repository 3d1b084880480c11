"""Addresses of brokers."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from authority import Authority
from tiercast_protocol.errors import UsageError
from tiercast_protocol.node.address import Address, TlsFiles, check_trust, parse_address, what_to_look_at


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("mqtt://h:1", Address("h", 1)),
        ("mqtt://h", Address("h", 1883)),
        ("mqtts://h/", Address("h", 8883, tls=True)),
        ("mqtt://[::1]:5", Address("::1", 5)),
        ("unix:///a/b", Address(None, None, "/a/b")),
    ],
)
def test_what_it_stands_for(text: str, address: Address) -> None:
    assert parse_address(text) == address
    assert parse_address(str(address)) == address


@pytest.mark.parametrize(
    "text", ["", "h:1", "http://h", "mqtt://", "mqtt://h:x", "mqtt://h:99999", "unix://a/b", "mqtt://h/x"]
)
def test_what_is_none(text: str) -> None:
    with pytest.raises(UsageError, match="not the address"):
        parse_address(text)


def test_a_password_in_it_is_refused_and_not_shown() -> None:
    with pytest.raises(UsageError) as caught:
        parse_address("mqtt://user:hunter2@h:1")
    assert "hunter2" not in str(caught.value)


def test_tls_only_where_the_address_says_so(tmp_path: Path) -> None:
    assert TlsFiles().context("mqtt://h") is None
    context = TlsFiles().context("mqtts://h")
    assert context is not None
    assert context.check_hostname
    with pytest.raises(UsageError, match="TLS files"):
        TlsFiles(ca=str(tmp_path / "none.pem")).context("mqtts://h")


def test_files_as_they_are_typed() -> None:
    assert TlsFiles.of(None, None, None) == TlsFiles()
    assert TlsFiles.of(Path("ca.pem"), None, Path("/k")) == TlsFiles(ca=str(Path.cwd() / "ca.pem"), key="/k")


def test_what_our_own_broker_can_listen_with(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "a", "private")
    (cert, key), (_, other) = authority.issue("one"), authority.issue("two")
    locked = tmp_path / "locked.key"
    secret = serialization.BestAvailableEncryption(b"word")
    loaded = load_pem_private_key(key.read_bytes(), None)
    locked.write_bytes(loaded.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, secret))
    TlsFiles().check_served("[broker]")
    TlsFiles(str(authority.path), str(cert), str(key)).check_served("[broker]")
    for files, why in (
        (TlsFiles(ca=str(authority.path)), "without TLS"),
        (TlsFiles(cert=str(cert)), "can't be used"),
        (TlsFiles(cert=str(cert), key=str(other)), "can't be used"),
        (TlsFiles(cert=str(cert), key=str(locked)), "the key is encrypted"),
        (TlsFiles(cert=str(tmp_path / "none"), key=str(key)), "No such file"),
        (TlsFiles(ca=str(key), cert=str(cert), key=str(key)), "can't be used"),
    ):
        with pytest.raises(UsageError, match=why) as caught:
            files.check_served("[broker]")
        assert caught.value.code == "broker.tls"


def test_what_is_wrong_with_a_certificate_is_said_in_words() -> None:
    check_trust(None, "mqtts://h")
    check_trust(ConnectionError("refused"), "mqtts://h")
    outer = ConnectionError("lost")
    outer.__context__ = ssl.SSLCertVerificationError(1, "certificate verify failed")
    with pytest.raises(UsageError, match="--ca FILE") as caught:
        check_trust(outer, "mqtts://h")
    assert caught.value.code == "broker.certificate"
    outer.__cause__ = ssl.SSLError(1, "[SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] tlsv13 alert certificate required")
    with pytest.raises(UsageError, match=r"`cert` and `key` of \[broker\]") as caught:
        check_trust(outer, "mqtts://h", "[broker]")
    assert caught.value.code == "broker.certificate-wanted"


def test_a_broker_that_closes_may_want_a_certificate() -> None:
    assert "--cert" in what_to_look_at("mqtts://h", TlsFiles())
    assert "--cert" not in what_to_look_at("mqtts://h", TlsFiles(cert="/c.pem"))
    assert "--cert" not in what_to_look_at("mqtt://h", TlsFiles())
