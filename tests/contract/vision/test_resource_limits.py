"""Tracks, whole frames and refused offers are limited; other streams and tenants are not slowed."""

from __future__ import annotations

import asyncio
from functools import partial

import grpc
import numpy as np
import simplejpeg
from hocket.vision.v1 import vision_pb2 as pb
from hocket.vision.v1 import vision_pb2_grpc

from hocket.chassis.status import mesh_errors
from services.vision import __main__ as wiring
from services.vision.adapters.images import PillowImages
from services.vision.flow import VisionFlow
from tests.fakes.waiting import DEADLINE_S

FLAT = bytes([100]) * 4096
TRACK = pb.TrackRef(room="r", track="t")
JPEG = simplejpeg.encode_jpeg(np.zeros((240, 320, 3), np.uint8))


def offers(*values: tuple[int, str, int], room: str = "r") -> pb.WatchRequest:
    """Return a batch of (frame id, track, capture time in microseconds)."""
    return pb.WatchRequest(
        offers=pb.OfferBatch(
            offers=[
                pb.Offer(
                    frame_id=frame_id,
                    track=pb.TrackRef(room=room, track=track),
                    captured_at_us=at_us,
                    luma=FLAT,
                    width=64,
                    height=64,
                )
                for frame_id, track, at_us in values
            ]
        )
    )


async def opened(mesh, **config):
    call = vision_pb2_grpc.VisionServiceStub(mesh.channel).Watch(**mesh.options(60))
    await call.write(pb.WatchRequest(config=pb.WatchConfig(**config)))
    return call


async def answer(call) -> pb.WatchResponse:
    with mesh_errors():
        async with asyncio.timeout(DEADLINE_S):
            return await call.read()


def whole(frame_id: int, data: bytes = JPEG, track: pb.TrackRef = TRACK) -> pb.DedupRequest:
    frame = pb.WholeFrame(frame_id=frame_id, track=track, format=pb.PIXEL_FORMAT_JPEG, data=data)
    return pb.DedupRequest(frame=frame)


async def opened_dedup(mesh, **config):
    call = vision_pb2_grpc.VisionServiceStub(mesh.channel).Dedup(**mesh.options(60))
    await call.write(pb.DedupRequest(config=pb.DedupConfig(return_jpeg=True, **config)))
    return call


async def test_tracks_beyond_the_stream_limit_are_refused(serving, channel, monkeypatch):
    # Without backpressure, whose delays would let tracks grow idle and be evicted.
    monkeypatch.setattr(wiring, "VisionFlow", partial(VisionFlow, sleep=lambda _: asyncio.sleep(0)))
    async with serving(tracks_per_stream_max=100) as server, channel(server) as mesh:
        call = await opened(mesh)
        kept, refused = 0, []
        for start in range(0, 10_000, 250):
            await call.write(offers(*((1, f"t{start + i}", 0) for i in range(250))))
            batch = (await answer(call)).verdicts
            kept += len(batch.verdicts)
            refused += batch.rejections
            assert len(batch.rejections) <= 16
        await call.write(offers((2, "t0", 33_000)))
        assert (await answer(call)).verdicts.verdicts[0].frame_id == 2
        beside = await opened(mesh)
        await beside.write(offers((1, "mine", 0)))
        assert (await answer(beside)).verdicts.verdicts[0].cause == pb.CAUSE_FIRST
    assert kept == 100
    assert {r.reason for r in refused} == {"OVERLOADED"}
    assert "holds 100 tracks" in refused[0].message


async def test_tracks_of_an_ended_stream_are_released(serving, channel):
    async with serving(tracks_max=2) as server, channel(server) as mesh:
        for _ in range(3):
            call = await opened(mesh)
            await call.write(offers((1, "a", 0), (1, "b", 0), (1, "c", 0)))
            batch = (await answer(call)).verdicts
            assert (len(batch.verdicts), len(batch.rejections)) == (2, 1)
            await call.done_writing()
            assert await answer(call) is grpc.aio.EOF


async def test_idle_tracks_are_evicted_for_another_stream_of_the_tenant(serving, channel):
    settings = {"tracks_per_tenant_max": 1, "track_idle_s": 1, "stats_share_interval_s": 0.1}
    async with serving(**settings) as server, channel(server) as mesh:
        idle, other = [vision_pb2_grpc.VisionServiceStub(mesh.channel).Watch(**mesh.options(60)) for _ in range(2)]
        refused = 0
        for call in (idle, other):
            await call.write(pb.WatchRequest(config=pb.WatchConfig()))
        offered = pb.Offer(frame_id=1, track=TRACK, luma=FLAT, width=64, height=64)
        await idle.write(pb.WatchRequest(offers=pb.OfferBatch(offers=[offered])))
        assert (await answer(idle)).verdicts.verdicts
        async with asyncio.timeout(DEADLINE_S):
            while True:
                await other.write(pb.WatchRequest(offers=pb.OfferBatch(offers=[offered])))
                if (await answer(other)).verdicts.verdicts:
                    break
                refused += 1
    assert refused > 0


async def test_whole_frames_in_memory_are_limited(serving, channel, monkeypatch):
    open_pictures, most = 0, 0
    read, encode = PillowImages.decode, PillowImages.encode

    async def counted_read(self, *given):
        nonlocal open_pictures, most
        open_pictures += 1
        most = max(most, open_pictures)
        return await read(self, *given)

    async def counted_encode(self, *given):
        nonlocal open_pictures
        found = await encode(self, *given)
        open_pictures -= 1
        return found

    monkeypatch.setattr(PillowImages, "decode", counted_read)
    monkeypatch.setattr(PillowImages, "encode", counted_encode)
    async with serving(image_threads=1) as server, channel(server) as mesh:
        calls = [await opened_dedup(mesh) for _ in range(12)]
        for call in calls:
            await call.write(whole(1))
        assert all([(await answer(call)).HasField("result") for call in calls])
    assert most <= 3
