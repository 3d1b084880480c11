"""Addresses of brokers."""

from __future__ import annotations

from pathlib import Path

import pytest

from tiercast_protocol.errors import UsageError
from tiercast_protocol.node.address import Address, TlsFiles, parse_address


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
