"""Options of the channel. gRPC ignores unknown options silently: each name must occur in the library's binary."""

from __future__ import annotations

from pathlib import Path

import grpc

from hocket.chassis import channel


def unknown_to_grpc(names: list[str]) -> list[str]:
    (path,) = (Path(grpc.__file__).parent / "_cython").glob("cygrpc*.so")
    library = path.read_bytes()
    return [name for name in names if name.encode() not in library]


async def test_each_channel_option_exists_in_grpc(monkeypatch):
    option_names: list[str] = []

    def record_options(_target, options):
        option_names.extend(name for name, _ in options)

    monkeypatch.setattr(grpc.aio, "insecure_channel", record_options)
    channel.MeshChannel("127.0.0.1:1", str)
    assert len(option_names) > 5
    assert unknown_to_grpc(option_names) == []


def test_only_idempotent_methods_have_a_retry_policy():
    config = channel._service_config((("hocket.rag.v1.RagService", "Search"),))
    assert [method["name"] for method in config["methodConfig"]] == [  # type: ignore[attr-defined]
        [{"service": "hocket.rag.v1.RagService", "method": "Search"}]
    ]
    assert "methodConfig" not in channel._service_config(())
