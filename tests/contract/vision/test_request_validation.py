"""Invalid messages are refused with the name of the field; a rejection leaves the stream open."""

from __future__ import annotations

import asyncio
import io

import numpy as np
import pytest
import simplejpeg
from hocket.vision.v1 import vision_pb2 as pb
from hocket.vision.v1 import vision_pb2_grpc
from PIL import Image

from hocket.chassis import errors
from hocket.chassis.status import mesh_errors
from hocket.client.vision import VisionClient
from services.vision.adapters.images import PillowImages
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


@pytest.mark.parametrize("count", [0, 257])
async def test_an_empty_or_oversized_batch_ends_the_stream(serving, channel, count):
    async with serving() as server, channel(server) as mesh:
        call = await opened(mesh)
        await call.write(offers(*((1, f"t{i}", 0) for i in range(count))))
        with pytest.raises(errors.InvalidArgument) as caught:
            await answer(call)
    assert list(caught.value.fields) == ["offers.offers"]


async def test_a_second_config_ends_the_stream(serving, channel):
    async with serving() as server, channel(server) as mesh:
        call = await opened(mesh)
        await call.write(pb.WatchRequest(config=pb.WatchConfig()))
        with pytest.raises(errors.InvalidArgument) as caught:
            await answer(call)
    assert caught.value.reason == "STREAM_ORDER"


async def test_a_clock_that_jumps_back_still_gets_verdicts(serving, channel):
    async with serving() as server, channel(server) as mesh:
        call = await opened(mesh, policy=pb.POLICY_TIMER)
        times = [0, 300_000, -5_000_000_000, -4_999_700_000, 2**62]
        await call.write(offers(*((i + 1, "t", at_us) for i, at_us in enumerate(times))))
        verdicts = (await answer(call)).verdicts.verdicts
    assert [v.verdict == pb.VERDICT_KEEP for v in verdicts] == [True, True, False, True, True]


@pytest.mark.parametrize(
    ("upload", "reason", "field"),
    [
        ({"frame_id": 2, "jpeg": b"\xff\xd8\xff"}, "INVALID_FIELD", "upload.jpeg"),
        ({"frame_id": 1, "jpeg": b"no picture"}, "INVALID_FIELD", "upload.jpeg"),
        ({"frame_id": 1, "jpeg": b"\xff" * (1024 * 1024 + 1)}, "TOO_LARGE", "upload.jpeg"),
    ],
)
async def test_an_invalid_upload_is_rejected_and_the_stream_continues(serving, channel, upload, reason, field):
    async with serving() as server, channel(server) as mesh:
        call = await opened(mesh)
        await call.write(offers((1, "t", 0)))
        await answer(call)
        await call.write(pb.WatchRequest(upload=pb.FrameUpload(track=pb.TrackRef(room="r", track="t"), **upload)))
        rejection = (await answer(call)).rejection
        await call.write(offers((2, "t", 33_000)))
        assert (await answer(call)).verdicts.verdicts[0].frame_id == 2
    assert (rejection.reason, rejection.field, rejection.frame_id) == (reason, field, upload["frame_id"])


async def test_uploads_of_skipped_or_repeated_frames_are_rejected(serving, channel, jpeg):
    track = pb.TrackRef(room="r", track="t")
    async with serving() as server, channel(server) as mesh:
        call = await opened(mesh)
        await call.write(offers((1, "t", 0), (2, "t", 33_000)))
        await answer(call)
        for frame_id in (1, 1, 2):
            await call.write(pb.WatchRequest(upload=pb.FrameUpload(frame_id=frame_id, track=track, jpeg=jpeg)))
        refused = [(await answer(call)).rejection for _ in range(2)]
    assert [(r.frame_id, r.reason) for r in refused] == [(1, "STREAM_ORDER"), (2, "STREAM_ORDER")]


async def test_an_upload_of_a_track_that_was_never_offered_is_rejected(serving, channel, jpeg):
    async with serving() as server, channel(server) as mesh:
        call = await opened(mesh)
        unknown = pb.TrackRef(room="r", track="unknown")
        await call.write(pb.WatchRequest(upload=pb.FrameUpload(frame_id=1, track=unknown, jpeg=jpeg)))
        rejection = (await answer(call)).rejection
        await call.write(offers((1, "t", 0)))
        assert (await answer(call)).verdicts.verdicts[0].frame_id == 1
    assert (rejection.frame_id, rejection.track, rejection.reason) == (1, unknown, "TRACK_NOT_FOUND")


async def test_a_truncated_upload_is_rejected(serving, channel):
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


async def test_frame_id_and_room_are_checked_before_decoding(serving, channel, monkeypatch):
    reads = []
    read = PillowImages.decode

    async def counted(self, *given):
        reads.append(1)
        return await read(self, *given)

    monkeypatch.setattr(PillowImages, "decode", counted)
    async with serving() as server, channel(server) as mesh:
        call = await opened_dedup(mesh)
        await call.write(whole(5))
        assert (await answer(call)).HasField("result")
        await call.write(whole(5))
        assert "does not rise" in (await answer(call)).rejection.message
        await call.write(whole(6, track=pb.TrackRef(track="t")))
        assert (await answer(call)).rejection.field == "frame.track.room"
    assert len(reads) == 1


async def test_a_keyframe_has_the_size_of_its_jpeg(serving, channel):
    async with serving() as server, channel(server) as mesh:
        call = await opened_dedup(mesh, resize_longest_px=100)
        await call.write(whole(1))
        jpeg = (await answer(call)).result.jpeg  # type: ignore[attr-defined]
        async with asyncio.timeout(DEADLINE_S):
            while not (listed := (await VisionClient(mesh).list_keyframes("r", "t")).keyframes):
                pass
    assert (listed[0].width, listed[0].height) == Image.open(io.BytesIO(jpeg)).size == (100, 75)


@pytest.mark.parametrize(
    ("values", "field"),
    [({"limit": 33}, "limit"), ({"limit": -1}, "limit"), ({"track": None}, "track.room")],
)
async def test_list_keyframes_names_the_invalid_field(serving, channel, values, field):
    request = pb.ListKeyframesRequest(**{"track": pb.TrackRef(room="r", track="t"), **values})
    async with serving() as server, channel(server) as mesh:
        with pytest.raises(errors.InvalidArgument) as caught, mesh_errors():
            await vision_pb2_grpc.VisionServiceStub(mesh.channel).ListKeyframes(request, **mesh.options(5))
    assert list(caught.value.fields) == [field]


async def test_stats_of_a_track_require_its_room(serving, channel):
    async with serving() as server, channel(server) as mesh:
        with pytest.raises(errors.InvalidArgument, match="room"), mesh_errors():
            await vision_pb2_grpc.VisionServiceStub(mesh.channel).GetStats(
                pb.GetStatsRequest(track="t"), **mesh.options(5)
            )
