"""gRPC ignores an option that it does not know, so a misspelled one is found by looking for it in the library."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest

from hocket.chassis import channel, server
from hocket.chassis.settings import ServerSettings


@pytest.fixture(scope="module")
def library() -> bytes:
    (path,) = (Path(grpc.__file__).parent / "_cython").glob("cygrpc*.so")
    return path.read_bytes()


def test_every_option_of_a_server_is_known_to_grpc(library):
    names = [name for name, _ in server._options(ServerSettings())]
    assert [name for name in names if name.encode() not in library] == []


async def test_every_option_of_a_channel_is_known_to_grpc(library, monkeypatch):
    seen: list[str] = []

    def remember(_target, options):
        seen.extend(name for name, _ in options)

    monkeypatch.setattr(grpc.aio, "insecure_channel", remember)
    channel.MeshChannel("127.0.0.1:1", str)
    assert len(seen) > 5
    assert [name for name in seen if name.encode() not in library] == []


def test_only_the_methods_named_are_sent_again():
    config = channel._service_config((("hocket.rag.v1.RagService", "Search"),))
    assert [method["name"] for method in config["methodConfig"]] == [
        [{"service": "hocket.rag.v1.RagService", "method": "Search"}]
    ]
    assert "methodConfig" not in channel._service_config(())
