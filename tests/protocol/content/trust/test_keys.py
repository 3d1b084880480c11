"""Keys sign for one purpose, are kept for their owner alone, and are never written over."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiercast_protocol.content.trust.keys import PrivateKey, verify
from tiercast_protocol.errors import SignatureInvalid, StateError

KEY = PrivateKey(bytes(range(32)))
DATA = b"some bytes that were signed"


def test_signed_and_verified() -> None:
    verify(KEY.public, "tiercast test 1", DATA, KEY.sign("tiercast test 1", DATA))
    assert len(KEY.public) == 32
    assert PrivateKey.generate().public != PrivateKey.generate().public


@given(st.integers(0, len(DATA) * 8 - 1))
def test_every_bit_of_the_data_counts(bit: int) -> None:
    signature = KEY.sign("test", DATA)
    changed = bytearray(DATA)
    changed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(SignatureInvalid):
        verify(KEY.public, "test", bytes(changed), signature)


@given(st.integers(0, 64 * 8 - 1))
def test_every_bit_of_the_signature_counts(bit: int) -> None:
    signature = bytearray(KEY.sign("test", DATA))
    signature[bit // 8] ^= 1 << bit % 8
    with pytest.raises(SignatureInvalid):
        verify(KEY.public, "test", DATA, bytes(signature))


def test_another_domain_key_or_length() -> None:
    signature = KEY.sign("test", DATA)
    for public, domain, data, mark in (
        (KEY.public, "tes", b"t\0" + DATA, signature),
        (KEY.public, "other", DATA, signature),
        (PrivateKey.generate().public, "test", DATA, signature),
        (b"short", "test", DATA, signature),
        (b"", "test", DATA, signature),
        (KEY.public, "test", DATA, b""),
        (KEY.public, "test", DATA, signature + b"x"),
        (KEY.public, "test", DATA, signature[:-1]),
    ):
        with pytest.raises(SignatureInvalid):
            verify(public, domain, data, mark)


def test_a_domain_holds_no_zero() -> None:
    for domain in ("", "a\0b"):
        with pytest.raises(ValueError, match="domain"):
            KEY.sign(domain, DATA)


def test_saved_and_loaded(tmp_path: Path) -> None:
    path = tmp_path / "node.key"
    KEY.save(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert PrivateKey.load(path).public == KEY.public
    assert [file.name for file in tmp_path.iterdir()] == ["node.key"]


def test_never_written_over(tmp_path: Path) -> None:
    path = tmp_path / "node.key"
    KEY.save(path)
    with pytest.raises(StateError, match="is there already"):
        PrivateKey.generate().save(path)
    assert PrivateKey.load(path).public == KEY.public


def test_a_half_written_key_is_not_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "node.key.new").write_text("tierc")
    KEY.save(tmp_path / "node.key")
    assert PrivateKey.load(tmp_path / "node.key").public == KEY.public


def test_others_must_not_read_it(tmp_path: Path) -> None:
    path = tmp_path / "node.key"
    KEY.save(path)
    path.chmod(0o640)
    with pytest.raises(StateError, match="read by others"):
        PrivateKey.load(path)


@pytest.mark.parametrize(
    "text", ["", "x", "tiercast private key 1\n", "tiercast private key 1\nzz\n", "other\n" + "00" * 32, "é"]
)
def test_no_key(tmp_path: Path, text: str) -> None:
    path = tmp_path / "node.key"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(StateError, match="no key"):
        PrivateKey.load(path)


def test_nowhere(tmp_path: Path) -> None:
    with pytest.raises(StateError):
        PrivateKey.load(tmp_path / "none")
    with pytest.raises(StateError, match="written"):
        KEY.save(tmp_path / "no-folder" / "node.key")
