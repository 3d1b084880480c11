"""The worker's half of the conversation, without a process."""

from __future__ import annotations

import io
import os
import resource
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.support.sealed import SealedPackage, like_code, patch_between, sealed, shifted

from tiercast_protocol.wire import codec
from tiercast_server.packages import patchworker as w


class Server(io.RawIOBase):
    """Both pipes: what the worker says is answered at once."""

    def __init__(self, *packages: SealedPackage, names: tuple[bytes, bytes] | None = None) -> None:
        super().__init__()
        self.held = {digest: stored for package in packages for digest, stored in package.chunks.items()}
        self.said: list[Any] = []
        self.answers = bytearray()
        self._answer(list(names or (packages[0].digest, packages[1].digest)))

    def _answer(self, value: object) -> None:
        data = codec.encode(value)
        self.answers += w.LENGTH.pack(len(data)) + data

    def write(self, data: Any) -> int:
        said = codec.decode_plain(bytes(data)[w.LENGTH.size :])
        if said[0] == "want":
            self._answer(self.held.get(said[1]))
        else:
            self.said.append(said)
        return len(data)

    def read(self, size: int = -1) -> bytes:
        data = bytes(self.answers[:size])
        del self.answers[:size]
        return data


@pytest.fixture
def pair(tmp_path: Path) -> tuple[SealedPackage, SealedPackage]:
    old = {"tool": like_code(1, 300_000), "same": b"same" * 50}
    return sealed(tmp_path, old, "1"), sealed(tmp_path, old | {"tool": shifted(old["tool"], 2)}, "2")


def worked(server: Server) -> list[Any]:
    w.work(w.Pipes(server, server))  # type: ignore[arg-type]
    return server.said


def test_it_hands_over_chunks_and_says_what_they_stand_for(pair: tuple[SealedPackage, SealedPackage]) -> None:
    base, result = pair
    *chunks, done = worked(Server(base, result))
    patch, expected = patch_between(base, result)
    assert {said[1]: said[2] for said in chunks} == expected
    plain = sum(len(stored) for digest, stored in result.chunks.items() if digest not in base.chunks)
    assert done == ["done", patch, plain]


def test_what_is_missing_or_no_package_is_said(pair: tuple[SealedPackage, SealedPackage]) -> None:
    base, result = pair
    server = Server(base, result)
    del server.held[result.side().order.digests[0]]
    assert worked(server)[-1][0] == "failed"
    (said,) = worked(Server(base, result, names=(base.root.lists[0], result.digest)))
    assert said[0] == "failed"


def test_a_server_that_is_gone_ends_it(pair: tuple[SealedPackage, SealedPackage]) -> None:
    server = Server(*pair)
    server.answers.clear()
    with pytest.raises(EOFError):
        worked(server)
    server.answers += w.LENGTH.pack(100) + b"half"
    with pytest.raises(EOFError):
        worked(server)


def test_it_stands_back(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(w.ctypes, "CDLL", lambda _name: SimpleNamespace(prctl=lambda *said: asked.append(said)))
    monkeypatch.setattr(os, "nice", asked.append)
    monkeypatch.setattr(resource, "setrlimit", lambda *limit: asked.append(limit))
    w.stand_back()
    assert asked == [(1, 9, 0, 0, 0), 19, (resource.RLIMIT_AS, (w.MEMORY, w.MEMORY))]
