"""The metrics of the service's README are exposed at the operations port."""

from __future__ import annotations

import asyncio
import re
import urllib.request
from pathlib import Path

import grpc
from hocket.vision.v1 import vision_pb2 as pb
from hocket.vision.v1 import vision_pb2_grpc
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from services.vision import __main__ as wiring
from services.vision.errors import KeyframesUnavailable
from tests.fakes.waiting import DEADLINE_S

README = Path(__file__).parents[3] / "services" / "vision" / "README.md"
METRICS_SECTION = README.read_text(encoding="utf-8").partition("## Metrics")[2]
DOCUMENTED = {
    name: set(labels.split(",")) if labels else set[str]()
    for name, labels in re.findall(r"`(hocket_vision_\w+)(?:\{([\w,]+)\})?`", METRICS_SECTION)
}
FLAT = bytes([100]) * 4096
# An address without a listener.
NOWHERE = "redis://127.0.0.1:1/0"
RECORDED_LATER = (
    "hocket_vision_stats_publishes_total",
    "hocket_vision_keyframes_total",
    "hocket_vision_rpc_duration_seconds_count",
)


async def scraped(ops_port: int) -> dict[str, Metric]:
    """Return the scraped metric families by name."""

    def read() -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{ops_port}/metrics", timeout=10) as response:
            return response.read().decode()

    return {family.name: family for family in text_string_to_metric_families(await asyncio.to_thread(read))}


def value(families: dict[str, Metric], name: str, **labels: str) -> float:
    """Return a sample, 0 if it does not exist yet."""
    found = [
        sample.value
        for family in families.values()
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    ]
    return sum(found)


def offers(*frame_ids: int) -> pb.WatchRequest:
    track = pb.TrackRef(room="r", track="t")
    return pb.WatchRequest(
        offers=pb.OfferBatch(
            offers=[
                pb.Offer(frame_id=i, track=track, captured_at_us=i, luma=FLAT, width=64, height=64) for i in frame_ids
            ]
        )
    )


async def watch(mesh, *requests: pb.WatchRequest):
    call = vision_pb2_grpc.VisionServiceStub(mesh.channel).Watch(**mesh.options(60))
    await call.write(pb.WatchRequest(config=pb.WatchConfig()))
    for request in requests:
        await call.write(request)
        if request.HasField("offers"):
            async with asyncio.timeout(DEADLINE_S):
                await call.read()
    return call


async def ended(call) -> None:
    await call.done_writing()
    async with asyncio.timeout(DEADLINE_S):
        assert await call.read() is grpc.aio.EOF


class Unreachable:
    """Keyframe and stats store without Redis."""

    def __init__(self, *_: object, **__: object) -> None:
        """Accept any arguments."""

    async def add(self, *_: object) -> None:
        raise KeyframesUnavailable("gone")

    async def publish(self, *_: object) -> None:
        raise KeyframesUnavailable("gone")


async def test_every_documented_metric_is_exposed_with_its_labels(serving, channel, monkeypatch, jpeg):
    monkeypatch.setattr(wiring, "RedisKeyframes", Unreachable)
    monkeypatch.setattr(wiring, "RedisStats", Unreachable)
    async with serving(redis_url=NOWHERE, stats_share_interval_s=0.1) as server, channel(server) as mesh:
        upload = pb.FrameUpload(frame_id=1, track=pb.TrackRef(room="r", track="t"), jpeg=jpeg)
        call = await watch(mesh, offers(1, 2), pb.WatchRequest(upload=upload), offers(2, 3))
        await ended(call)
        async with asyncio.timeout(DEADLINE_S):
            # Recorded beside the stream: the publication at its end, and the lost keyframe.
            families = await scraped(server.ops_port)
            while not all(value(families, name) for name in RECORDED_LATER):
                families = await scraped(server.ops_port)
    assert len(DOCUMENTED) >= 10
    for name, labels in DOCUMENTED.items():
        family = families.get(name.removesuffix("_total"))
        assert family, name
        assert family.samples, name
        assert all(labels <= sample.labels.keys() for sample in family.samples), name
        assert not {"tenant", "tenant_id", "room", "track"} & {key for s in family.samples for key in s.labels}


async def test_metrics_count_offers_streams_and_tracks(serving, channel):
    async with serving() as server, channel(server) as mesh:
        before = await scraped(server.ops_port)
        call = await watch(mesh, offers(1, 2, 3), offers(3, 4))
        during = await scraped(server.ops_port)
        await ended(call)
        after = await scraped(server.ops_port)

    def grown(name: str, **labels: str) -> float:
        return value(during, name, **labels) - value(before, name, **labels)

    assert grown("hocket_vision_offers_total", policy="cells") == 4
    assert grown("hocket_vision_offers_total", policy="cells", verdict="keep", cause="first") == 1
    assert grown("hocket_vision_offers_refused_total", reason="STREAM_ORDER") == 1
    assert grown("hocket_vision_batch_seconds_count") == 2
    assert grown("hocket_vision_streams_open", policy="cells") == 1
    assert value(during, "hocket_vision_tracks_held") == 1
    assert value(after, "hocket_vision_streams_open", policy="cells") == value(
        before, "hocket_vision_streams_open", policy="cells"
    )
    assert value(after, "hocket_vision_tracks_held") == 0
