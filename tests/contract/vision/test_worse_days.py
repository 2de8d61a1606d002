"""Nobody is held up by what another sends: memory, order, numbers and the end of a server, over real sockets."""

from __future__ import annotations

import asyncio
import io
from types import SimpleNamespace

import numpy as np
import pytest
import simplejpeg
from hocket.vision.v1 import vision_pb2 as pb
from hocket.vision.v1 import vision_pb2_grpc
from PIL import Image

from hocket.chassis import errors
from hocket.chassis.clock import SystemClock
from hocket.chassis.status import mesh_errors
from hocket.client.vision import VisionClient
from services.vision.adapters.images import PillowImages
from services.vision.flow import VisionFlow
from services.vision.stats.stats_table import StatsTable, TrackKey
from tests.fakes.waiting import DEADLINE_S

FLAT = bytes([100]) * 4096
TRACK = pb.TrackRef(room="r", track="t")
JPEG = simplejpeg.encode_jpeg(np.zeros((240, 320, 3), np.uint8))


def whole(frame_id: int, data: bytes = JPEG, track: pb.TrackRef = TRACK) -> pb.DedupRequest:
    frame = pb.WholeFrame(frame_id=frame_id, track=track, format=pb.PIXEL_FORMAT_JPEG, data=data)
    return pb.DedupRequest(frame=frame)


async def dedup(mesh, **config):
    call = vision_pb2_grpc.VisionServiceStub(mesh.channel).Dedup(**mesh.options(60))
    await call.write(pb.DedupRequest(config=pb.DedupConfig(return_jpeg=True, **config)))
    return call


async def answer(call):
    with mesh_errors():
        async with asyncio.timeout(DEADLINE_S):
            return await call.read()


async def test_whole_frames_wait_outside_of_memory_while_others_are_read(serving, channel, monkeypatch):
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
        calls = [await dedup(mesh) for _ in range(12)]
        for call in calls:
            await call.write(whole(1))
        assert all([(await answer(call)).HasField("result") for call in calls])
    assert most <= 3


async def test_an_id_that_does_not_rise_and_a_nameless_room_are_refused_before_the_picture_is_read(
    serving, channel, monkeypatch
):
    reads = []
    read = PillowImages.decode

    async def counted(self, *given):
        reads.append(1)
        return await read(self, *given)

    monkeypatch.setattr(PillowImages, "decode", counted)
    async with serving() as server, channel(server) as mesh:
        call = await dedup(mesh)
        await call.write(whole(5))
        assert (await answer(call)).HasField("result")
        await call.write(whole(5))
        assert "does not rise" in (await answer(call)).rejection.message
        await call.write(whole(6, track=pb.TrackRef(track="t")))
        assert (await answer(call)).rejection.field == "frame.track.room"
    assert len(reads) == 1


async def test_a_keyframe_is_as_large_as_its_file(serving, channel):
    async with serving() as server, channel(server) as mesh:
        call = await dedup(mesh, resize_longest_px=100)
        await call.write(whole(1))
        jpeg = (await answer(call)).result.jpeg
        async with asyncio.timeout(DEADLINE_S):
            while not (listed := (await VisionClient(mesh).list_keyframes("r", "t")).keyframes):
                pass
    assert (listed[0].width, listed[0].height) == Image.open(io.BytesIO(jpeg)).size == (100, 75)


async def test_half_of_a_file_is_no_keyframe(serving, channel):
    async with serving() as server, channel(server) as mesh:
        call = vision_pb2_grpc.VisionServiceStub(mesh.channel).Watch(**mesh.options(60))
        await call.write(pb.WatchRequest(config=pb.WatchConfig()))
        offer = pb.Offer(frame_id=1, track=TRACK, luma=FLAT, width=64, height=64)
        await call.write(pb.WatchRequest(offers=pb.OfferBatch(offers=[offer])))
        await answer(call)
        await call.write(pb.WatchRequest(upload=pb.FrameUpload(frame_id=1, track=TRACK, jpeg=JPEG[:-40])))
        assert (await answer(call)).rejection.field == "upload.jpeg"
        await call.write(pb.WatchRequest(upload=pb.FrameUpload(frame_id=1, track=TRACK, jpeg=JPEG)))
        async with asyncio.timeout(DEADLINE_S):
            while not (await VisionClient(mesh).list_keyframes("r", "t")).keyframes:
                pass


async def test_a_client_that_says_nothing_does_not_hold_up_the_end_of_a_server(serving, channel):
    async with serving(drain_grace_s=2 * DEADLINE_S) as server, channel(server) as mesh:
        calls = [
            vision_pb2_grpc.VisionServiceStub(mesh.channel).Watch(**mesh.options(60)),
            vision_pb2_grpc.VisionServiceStub(mesh.channel).Dedup(**mesh.options(60)),
        ]
        await VisionClient(mesh).get_stats()
        async with asyncio.timeout(DEADLINE_S):
            await server.stop()
        for call in calls:
            with pytest.raises(errors.Unavailable):
                await answer(call)


async def test_a_tenant_waits_for_its_own_flood_and_not_for_another_tenants():
    needed = ("options", "limits", "quota", "stats_table", "keyframes", "stats_store", "images", "clock")
    metrics = SimpleNamespace(held_back_seconds=SimpleNamespace(inc=lambda _: None))
    flow = VisionFlow(**dict.fromkeys(needed), metrics=metrics, sleep=lambda _: asyncio.sleep(0))
    others = flow._resuming.setdefault("other", asyncio.Lock())
    async with others, asyncio.timeout(DEADLINE_S):
        # The other tenant's turn is taken for as long as this lasts.
        await flow.apply_backpressure("acme", 1, 10)


class SlowStats:
    """Shared numbers whose writes take until they are let through."""

    def __init__(self) -> None:
        self.rows: dict[str, object] = {}
        self.writing = asyncio.Event()
        self.through = asyncio.Event()

    async def publish(self, tenant_id, rows, gone):
        self.writing.set()
        await self.through.wait()
        self.rows |= {row.uid: row for row in rows}

    async def read(self, tenant_id):
        return list(self.rows.values())


async def test_who_asks_for_numbers_while_they_are_being_published_gets_them_too():
    table = StatsTable(rows_ended_max=10, ended_ttl_s=60, republish_s=60)
    row = table.hold(TrackKey("acme", "r", "t"))
    row.counts.offered, row.dirty = 50, True
    store = SlowStats()
    needed = ("options", "limits", "quota", "keyframes", "images", "metrics")
    flow = VisionFlow(**dict.fromkeys(needed), stats_table=table, stats_store=store, clock=SystemClock())
    first = asyncio.create_task(flow.get_stats("acme", "", ""))
    await store.writing.wait()
    second = asyncio.create_task(flow.get_stats("acme", "", ""))
    await asyncio.sleep(0)
    store.through.set()
    async with asyncio.timeout(DEADLINE_S):
        told = [(await asked)[0].total.offered for asked in (first, second)]
    assert told == [50, 50]


async def test_a_tenants_idle_tracks_make_room_for_another_of_its_streams(serving, channel):
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
